// What every test includes: LibTorch first, because it defines CHECK; then Catch2 with a CHECK of its own.
#pragma once

#include <torch/torch.h>
#undef CHECK
#include "catch.h"

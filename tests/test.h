// What every test includes: LibTorch first, because it defines CHECK; then Catch2 with a CHECK of its own.
#pragma once

#include <ATen/ATen.h>
#undef CHECK
#include "catch.h"

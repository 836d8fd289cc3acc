// Counts the calls of operator new in the whole program.
#pragma once

#include <cstdint>

// Always 0 under the sanitizers, which have an operator new of their own.
std::int64_t operator_new_calls();

// What the processor can do, and whether code may be made for it.
#pragma once

namespace handgrad {

// The part of AVX-512 that libraries of linear algebra mean by the name: F, DQ, BW and VL.
bool has_avx512();

// On these the kernels of Intel's libraries for AVX-512 were measured.
bool is_intel_with_avx512();

// OpenBLAS's kernels of small products for AVX-512 leave the upper halves of registers set, and while they are, each of our
// instructions without AVX waits for what it merges with: a whole step takes three times as long. To be called after them.
void clear_wide_registers();

// Whether this process may execute what it has written, as libraries must that compile while the program runs.
// Systemd's MemoryDenyWriteExecute and SELinux forbid it.
bool may_execute_what_it_writes();

}  // namespace handgrad

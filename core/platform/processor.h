// What the processor can do, and whether code may be made for it.
#pragma once

namespace handgrad {

// The part of AVX-512 that libraries of linear algebra mean by the name: F, DQ, BW and VL.
bool has_avx512();

// On these the kernels of Intel's libraries for AVX-512 were measured.
bool is_intel_with_avx512();

// Whether this process may execute what it has written, as libraries must that compile while the program runs.
// Systemd's MemoryDenyWriteExecute and SELinux forbid it.
bool may_execute_what_it_writes();

}  // namespace handgrad

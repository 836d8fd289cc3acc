// Ctrl-C and its like: what goes on ends at the next step, and what was trained is saved.
#pragma once

namespace handgrad::app {

// From here on SIGINT, SIGTERM and SIGHUP are counted: the first ends training, the second skips what comes
// after it, the third ends the program at once.
void catch_interruptions();

// The first signal that came, or 0.
int interruption();

// How many came.
int interruptions();

// Of a program that a signal ended: 128 + the first signal; 0 where none came.
int interruption_exit_code();

// Thrown to leave work that a signal ended.
struct Interrupted {};

}  // namespace handgrad::app

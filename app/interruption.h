// Ctrl-C and its like: work ends at the next step and is saved.
#pragma once

namespace handgrad::app {

// From here on the first SIGINT, SIGTERM or SIGHUP is remembered; a second one ends the program.
void catch_interruptions();

// The signal that came, or 0.
int interruption();

}  // namespace handgrad::app

// The commands. Each parses its arguments (those after its name), does its work and returns the exit code.
#pragma once

#include <string>
#include <vector>

namespace handgrad::app {

using Arguments = std::vector<std::string>;

int train_command(const Arguments& arguments);
int data_command(const Arguments& arguments);
int evaluate_command(const Arguments& arguments);
int predict_command(const Arguments& arguments);
int export_command(const Arguments& arguments);
int sweep_command(const Arguments& arguments);
int report_command(const Arguments& arguments);
int gradcheck_command(const Arguments& arguments);
int bench_command(const Arguments& arguments);
int doctor_command(const Arguments& arguments);

}  // namespace handgrad::app

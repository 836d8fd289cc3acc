// The failures of the library, one type per cause, each with a full sentence as its message: the thing, its
// value, what is allowed, and what to do.
#pragma once

#include <stdexcept>
#include <string>

namespace handgrad {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;

  // A fault of a setting, which the message begins with. `name`: as config.json has it, such as "batch_size".
  Error(const char* name, const std::string& fault)
      : std::runtime_error(std::string(name) + ": " + fault), setting(name) {}

  const char* setting = "";  // "" where it is of none
};

// A setting that is wrong by itself, whatever data, files and machine it meets.
struct ArgumentError : Error {
  using Error::Error;
};

// A data set that cannot be read, is damaged, or does not fit the request.
struct DataError : Error {
  using Error::Error;
};

// A saved model that cannot be read or does not fit the request.
struct ModelError : Error {
  using Error::Error;
};

// A file or directory that cannot be read or written.
struct FileError : Error {
  using Error::Error;
};

// A device that this machine or this build does not have.
struct DeviceError : Error {
  using Error::Error;
};

// Processes that were started together and cannot find, understand or hear each other.
struct LaunchError : Error {
  using Error::Error;
};

// Training that left the finite numbers.
struct NumericError : Error {
  using Error::Error;
};

// What an exception of LibTorch says, without the trace that follows.
inline std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

}  // namespace handgrad

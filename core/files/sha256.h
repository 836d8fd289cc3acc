// SHA-256 (FIPS 180-4), through OpenSSL. Free of LibTorch.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace handgrad {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& update(std::string_view bytes);

  // Of all bytes so far, in hexadecimal; ends the sum. Throws Error where OpenSSL failed at any time.
  std::string hex();

 private:
  struct Context;  // keeps OpenSSL's header out of this one

  std::unique_ptr<Context> context_;
};

}  // namespace handgrad

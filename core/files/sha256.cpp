// SHA-256, through OpenSSL.
#include "handgrad/files/sha256.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "handgrad/base/errors.h"

namespace handgrad {

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> sum{EVP_MD_CTX_new(), EVP_MD_CTX_free};
  bool good = sum != nullptr && EVP_DigestInit_ex(sum.get(), EVP_sha256(), nullptr) == 1;
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {}
Sha256::~Sha256() = default;

Sha256& Sha256::update(std::string_view bytes) {
  context_->good = context_->good && EVP_DigestUpdate(context_->sum.get(), bytes.data(), bytes.size()) == 1;
  return *this;
}

std::string Sha256::hex() {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const bool good = context_->good && EVP_DigestFinal_ex(context_->sum.get(), digest.data(), &size) == 1;
  if (!good) throw Error("SHA-256 failed inside OpenSSL; its installation may be damaged");
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace handgrad

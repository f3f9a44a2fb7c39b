#include "io/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/errors.h"

namespace engraft::io {

namespace {

std::string to_hex(const unsigned char* bytes, size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * size);
  for (size_t i = 0; i < size; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}

}  // namespace

struct Sha256::Impl {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {
  if (EVP_DigestInit_ex(impl_->context, EVP_sha256(), nullptr) != 1) throw SystemError("libcrypto has no SHA-256");
}
Sha256::~Sha256() = default;

void Sha256::add(const void* data, size_t size) { EVP_DigestUpdate(impl_->context, data, size); }

std::string Sha256::hex() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(impl_->context, bytes.data(), &size);
  return to_hex(bytes.data(), size);
}

std::string sha256(std::string_view bytes) {
  Sha256 digest;
  digest.add(bytes);
  return digest.hex();
}

std::string sha256_of_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) throw DataError("cannot read " + path + ": " + std::strerror(errno));
  Sha256 digest;
  std::vector<char> piece(1 << 20);
  for (;;) {
    const ssize_t got = ::read(descriptor, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int code = errno;
      ::close(descriptor);
      throw DataError("cannot read " + path + ": " + std::strerror(code));
    }
    if (got == 0) break;
    digest.add(piece.data(), static_cast<size_t>(got));
  }
  ::close(descriptor);
  return digest.hex();
}

std::string sha1(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  if (EVP_Digest(text.data(), text.size(), bytes.data(), &size, EVP_sha1(), nullptr) != 1) {
    throw SystemError("libcrypto has no SHA-1");
  }
  return to_hex(bytes.data(), size);
}

struct Xxh128::Impl {
  XXH3_state_t state;
};

Xxh128::Xxh128() : impl_(std::make_unique<Impl>()) { XXH3_128bits_reset(&impl_->state); }
Xxh128::~Xxh128() = default;

void Xxh128::add(const void* data, size_t size) { XXH3_128bits_update(&impl_->state, data, size); }

Digest128 Xxh128::value() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&impl_->state));
  Digest128 out{};
  static_assert(sizeof(canonical.digest) == std::tuple_size_v<Digest128>);
  std::copy(std::begin(canonical.digest), std::end(canonical.digest), out.begin());
  return out;
}

std::string to_hex(const Digest128& digest) { return to_hex(digest.data(), digest.size()); }

std::optional<Digest128> digest_from_hex(std::string_view text) {
  Digest128 out{};
  if (text.size() != 2 * out.size()) return std::nullopt;
  for (size_t i = 0; i < out.size(); ++i) {
    const auto [end, error] = std::from_chars(text.data() + 2 * i, text.data() + 2 * i + 2, out[i], 16);
    if (error != std::errc() || end != text.data() + 2 * i + 2) return std::nullopt;
  }
  return to_hex(out) == text ? std::optional<Digest128>(out) : std::nullopt;
}

}  // namespace engraft::io

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace engraft::io {

/// SHA-256 (FIPS 180-4) by OpenSSL's libcrypto; for backbones and pins.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void add(const void* data, size_t size);
  void add(std::string_view text) { add(text.data(), text.size()); }
  /// Lower-case hex, 64 characters. Ends the digest: nothing may be added after.
  std::string hex();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Of a whole file, read in pieces. Throws DataError when it cannot be read.
std::string sha256_of_file(const std::string& path);
std::string sha256(std::string_view bytes);

/// SHA-1 of `text` as 40 hex characters; for splits by name, where it is the rule others use too.
std::string sha1(std::string_view text);

/// A digest of 128 bits, in the order of its hex characters.
using Digest128 = std::array<uint8_t, 16>;

/// 32 lower-case hex characters.
std::string to_hex(const Digest128& digest);
/// The reverse; none for other text.
std::optional<Digest128> digest_from_hex(std::string_view text);

/// xxh3-128; for cache keys and proofs, where nobody is an adversary.
class Xxh128 {
 public:
  Xxh128();
  ~Xxh128();
  Xxh128(const Xxh128&) = delete;
  Xxh128& operator=(const Xxh128&) = delete;
  void add(const void* data, size_t size);
  void add(std::string_view text) { add(text.data(), text.size()); }
  Digest128 value() const;
  std::string hex() const { return to_hex(value()); }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engraft::io

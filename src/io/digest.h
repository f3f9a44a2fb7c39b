#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
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

/// xxh3-128 as 32 hex characters; for cache keys and proofs, where nobody is an adversary.
class Xxh128 {
 public:
  Xxh128();
  ~Xxh128();
  Xxh128(const Xxh128&) = delete;
  Xxh128& operator=(const Xxh128&) = delete;
  void add(const void* data, size_t size);
  void add(std::string_view text) { add(text.data(), text.size()); }
  std::string hex() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace engraft::io

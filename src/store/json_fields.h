#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"

namespace engraft::store {

/// Takes members out of an object of store.json or unfinished.json; a DataError names what is missing or of another
/// kind. The object must outlive it.
class JsonFields {
 public:
  /// `where` stands before the errors: the file, and which object of it.
  JsonFields(const io::Json& object, std::string where);

  /// 0 or more.
  int64_t integer(const char* key) const;
  std::string word(const char* key) const;
  /// Of 1 or more.
  std::vector<int64_t> sizes(const char* key) const;
  std::vector<std::string> words(const char* key) const;
  const io::Json& list(const char* key) const;
  const io::Json& object(const char* key) const;

 private:
  const io::Json& member(const char* key) const;
  [[noreturn]] void fail(const char* key, const char* expected) const;

  const io::Json& object_;
  std::string where_;
};

}  // namespace engraft::store

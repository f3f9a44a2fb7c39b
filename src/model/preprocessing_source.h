#pragma once

#include <string>
#include <vector>

#include "base/errors.h"
#include "image/preprocessing.h"
#include "image/preprocessing_flags.h"
#include "io/json.h"

namespace engraft::model {

/// One row of models/table.toml, which is compiled in.
struct KnownBackbone {
  std::string name;
  std::string sha256;
  std::string origin;
  std::string licence;
};

struct ResolvedPreprocessing {
  image::Preprocessing preprocessing;
  /// Where each field came from: "size 150 (flag); the rest: built-in table, inception_v3_mixed8".
  std::string source;
};

/// The rows of the built-in table.
std::vector<KnownBackbone> known_backbones();

/// Nothing says the size, mean or std of a backbone's pictures; what() names the flags to give.
class MissingPreprocessing : public ModelError {
 public:
  using ModelError::ModelError;
};

/// What turns a file into what the backbone wants, merged field by field; first found wins: `flags`; `NAME.toml`
/// beside `backbone_path` (not where that is "new:NAME"); `archive_json`, the engraft.json inside it (empty: none); the
/// built-in table, by `file_sha256`. Size, mean and std must come from somewhere: else MissingPreprocessing.
/// Throws UsageError for a NAME.toml with a wrong key or value, ModelError for a wrong engraft.json.
ResolvedPreprocessing resolve_preprocessing(const image::PreprocessingFlags& flags, const std::string& backbone_path,
                                            const std::string& archive_json, const std::string& file_sha256);

/// The struct as JSON with the keys of models/README.md, and back (throws ModelError "WHERE: …").
io::Json to_json(const image::Preprocessing& preprocessing);
image::Preprocessing preprocessing_from_json(const io::Json& json, const std::string& where);

}  // namespace engraft::model

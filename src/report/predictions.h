#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace engraft::report {

/// What a run's model said of pictures whose labels are known, picture by picture, sorted by image_path as plain bytes
/// (those listed twice in the order of the file).
struct Predictions {
  /// A run folder, or a table as `evaluate --predictions` writes it.
  std::string path;
  /// The mean of `values`: top1, exact_match (of several labels) or mae.
  std::string metric;
  std::vector<std::string> pictures;
  std::vector<std::string> truths;
  /// 1 where the picture is right and 0 where not; mae: how far off the number is.
  std::vector<double> values;
  /// By name, a value a picture: the further columns (slices), and true_label.
  std::map<std::string, std::vector<std::string>> columns;
  // Of a run folder alone:
  std::optional<int64_t> seed;
  /// run.toml's options but for the seed, and which backbone they led to, on one line: runs that have the same and
  /// another seed are repetitions.
  std::string setting;
  std::optional<double> loss;
  /// Of the pictures' contents, as result.json has it; "" where it has none.
  std::string pictures_digest;
};

/// Reads predictions.csv of the finished run in folder `path`, or the table `path`. Throws DataError, naming the file,
/// for a folder without a finished run, a table without the columns of src/store/FORMAT.md or without rows.
Predictions read_predictions(const std::string& path);

}  // namespace engraft::report

#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/feature_store.h"

namespace engraft::store {

// The tables of a feature store: index.csv, files.csv, skipped.csv (src/store/FORMAT.md). One writer, one reader.

/// The first lines of the three.
std::string index_header(const std::vector<std::string>& slice_names);
std::string files_header();
std::string skipped_header();

/// Row `number` of the store.
std::string index_line(int64_t number, const IndexRow& row);
std::string file_line(const PictureFile& file);
std::string skipped_line(const std::string& image_path, const std::string& reason);

/// All lines of a table.
inline constexpr int64_t kAllLines = -1;

/// The rows `first` … of the store as index.csv has them: the first `lines` lines behind its header. What an addition
/// that was cut off left behind them is passed over, and so is a mark of a generation from `generations` on. Throws
/// DataError for fewer lines, other columns, or a row out of its place. `where` is the path that errors name.
std::vector<IndexRow> parse_index(const std::string& csv, const std::string& where,
                                  const std::vector<std::string>& slice_names, int64_t first, int64_t lines,
                                  int64_t generations);

/// The first `lines` lines of files.csv. Throws DataError likewise.
std::vector<PictureFile> parse_files(const std::string& csv, const std::string& where, int64_t lines);

/// [image_path, reason] of each line of skipped.csv. Throws DataError likewise.
std::vector<std::vector<std::string>> parse_skipped(const std::string& csv, const std::string& where);

/// For the last line of each picture, in their order.
std::vector<PictureFile> newest_files(const std::vector<PictureFile>& files);

/// Marks the rows of pictures that a later generation has a line for.
void mark_superseded(std::vector<IndexRow>& index, const std::vector<PictureFile>& files);

}  // namespace engraft::store

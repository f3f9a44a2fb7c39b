#include "store/feature_tables.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <unordered_map>
#include <unordered_set>

#include "base/errors.h"
#include "io/atomic_file.h"
#include "store/feature_files.h"
#include "store/feature_index.h"

namespace engraft::store {

namespace {

namespace fs = std::filesystem;

/// The table `name`: its header and the lines of the unfinished one, however many.
void copy_lines(const std::string& folder, const char* name, const std::string& header, const char* unfinished) {
  std::ifstream lines(folder + "/" + unfinished, std::ios::binary);
  io::AtomicFile table(folder + "/" + name);
  table.write(header);
  std::string piece(1 << 20, '\0');
  while (lines.read(piece.data(), static_cast<std::streamsize>(piece.size())) || lines.gcount() > 0)
    table.write(piece.data(), static_cast<size_t>(lines.gcount()));
  if (!lines.eof()) throw SystemError("cannot read " + folder + "/" + unfinished);
  table.commit();
}

/// The lines of an unfinished table as a table.
std::string added_lines(const std::string& folder, const std::string& header, const char* unfinished) {
  return header + io::read_file(folder + "/" + unfinished);
}

/// The table `name` of the store before, or one without lines.
std::string lines_before(const std::string& folder, const std::string& header, const char* name) {
  const std::string path = folder + "/" + name;
  return fs::exists(path) ? io::read_file(path) : header;
}

template <class Row>
std::vector<Row> joined(std::vector<Row> first, std::vector<Row> second) {
  first.insert(first.end(), std::make_move_iterator(second.begin()), std::make_move_iterator(second.end()));
  return first;
}

void relabel(std::vector<IndexRow>& index, const std::vector<IndexRow>& current) {
  std::unordered_map<std::string, const IndexRow*> now;
  for (const IndexRow& row : current) now.emplace(row.image_path, &row);
  for (IndexRow& row : index) {
    const auto found = now.find(row.image_path);
    if (found == now.end()) continue;
    row.label = found->second->label;
    row.split = found->second->split;
    row.slices = found->second->slices;
  }
}

/// Of the lines about each picture that has no row by now, the last.
std::vector<std::vector<std::string>> still_skipped(std::vector<std::vector<std::string>> lines,
                                                    const std::vector<PictureFile>& newest) {
  std::unordered_set<std::string> without_row;
  for (const PictureFile& file : newest) {
    if (file.row < 0) without_row.insert(file.image_path);
  }
  std::vector<std::vector<std::string>> kept;
  for (auto line = lines.rbegin(); line != lines.rend(); ++line) {
    if (without_row.erase(line->front()) > 0) kept.push_back(std::move(*line));
  }
  std::reverse(kept.begin(), kept.end());
  return kept;
}

void write_lines(const std::string& path, const std::vector<std::string>& lines) {
  io::AtomicFile table(path);
  for (const std::string& line : lines) table.write(line);
  table.commit();
}

}  // namespace

std::vector<PictureFile> all_files(const std::string& folder, int64_t base_files) {
  const std::string header = files_header();
  return joined(parse_files(lines_before(folder, header, kFilesFile), kFilesFile, base_files),
                parse_files(added_lines(folder, header, kUnfinishedFilesFile), kUnfinishedFilesFile, kAllLines));
}

TableCounts write_tables(const std::string& folder, const std::vector<std::string>& slice_names,
                         const Unfinished& state, const std::vector<IndexRow>& current) {
  const std::string index_head = index_header(slice_names), files_head = files_header(), skip_head = skipped_header();
  if (state.generation == 0) {
    copy_lines(folder, kIndexFile, index_head, kUnfinishedIndexFile);
    copy_lines(folder, kFilesFile, files_head, kUnfinishedFilesFile);
    if (state.skipped > 0) copy_lines(folder, kSkippedFile, skip_head, kUnfinishedSkippedFile);
    return {state.skipped, 0, state.files};
  }
  const std::vector<PictureFile> files = all_files(folder, state.base_files);
  const int64_t generations = state.generation + 1;
  auto index = joined(parse_index(lines_before(folder, index_head, kIndexFile), kIndexFile, slice_names, 0,
                                  state.base_rows, generations),
                      parse_index(added_lines(folder, index_head, kUnfinishedIndexFile), kUnfinishedIndexFile,
                                  slice_names, state.base_rows, kAllLines, generations));
  mark_superseded(index, files);
  relabel(index, current);
  const auto skipped = still_skipped(
      joined(parse_skipped(lines_before(folder, skip_head, kSkippedFile), kSkippedFile),
             parse_skipped(added_lines(folder, skip_head, kUnfinishedSkippedFile), kUnfinishedSkippedFile)),
      newest_files(files));

  std::vector<std::string> lines{index_head};
  for (size_t i = 0; i < index.size(); ++i) lines.push_back(index_line(static_cast<int64_t>(i), index[i]));
  write_lines(folder + "/" + kIndexFile, lines);
  lines = {files_head};
  for (const PictureFile& file : files) lines.push_back(file_line(file));
  write_lines(folder + "/" + kFilesFile, lines);
  lines = {skip_head};
  for (const auto& line : skipped) lines.push_back(skipped_line(line[0], line[1]));
  std::error_code unknown;
  if (skipped.empty()) {
    fs::remove(folder + "/" + kSkippedFile, unknown);
  } else {
    write_lines(folder + "/" + kSkippedFile, lines);
  }
  const auto superseded =
      std::count_if(index.begin(), index.end(), [](const IndexRow& row) { return row.superseded >= 0; });
  return {static_cast<int64_t>(skipped.size()), superseded, static_cast<int64_t>(files.size())};
}

}  // namespace engraft::store

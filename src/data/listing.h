#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/report.h"
#include "base/target.h"
#include "data/data_options.h"

namespace engraft::data {

/// One picture as the data set names it. Nothing here says that the file can be decoded.
struct Sample {
  /// As written into every CSV of ours: relative to Listing::root with '/' between folders; what manifests and lists
  /// give stays as given. Bytes, not necessarily UTF-8.
  std::string image_path;
  /// What to open.
  std::string file;
  /// Where the picture begins in `file` and how long it is, in bytes, where that is an archive; -1: it is all of it.
  int64_t offset = -1;
  int64_t bytes = 0;
  /// Size and time of that archive when it was listed; one that was changed since has its members elsewhere.
  int64_t archive_bytes = 0;
  int64_t archive_modified_ns = 0;
  /// Index into Listing::classes, or -1 without a known label, and where labels are names or numbers of a target that
  /// is not one class.
  int64_t label = -1;
  /// Multi-label: indices into Listing::classes, ascending, each once.
  std::vector<int64_t> labels;
  /// Regression: the label.
  double value = 0;
  /// The label's name; "" without a label. Set also where a label is not one of the classes (label -1). Multi-label:
  /// the names, each once, sorted as plain bytes, kLabelSeparator between them. Regression: the number as written.
  std::string label_name;
  /// "train", "val", "test", or "" where the data set has no splits.
  std::string split;
  /// Values of the manifest's further columns, in the order of Listing::slice_names.
  std::vector<std::string> slices;
};

/// A data set, in the order in which every command works through it.
struct Listing {
  /// The folder that image_path is relative to.
  std::string root;
  /// "folders" (train/ with val/…), "single-root" (class folders), "manifest", "list", "flat" or "shards".
  std::string kind;
  /// Sorted as plain bytes; Sample::label and labels index it. Fixed from the training split. None in regression.
  std::vector<std::string> classes;
  std::vector<std::string> slice_names;
  /// Folders: sorted by image_path as plain bytes, whatever the split. Manifests and lists: as given.
  std::vector<Sample> samples;
  /// The validation split is a part that the hash rule took: another fraction would give another.
  bool is_split_by_hash = false;
  /// The data's own test split serves as validation (its samples have the split "val").
  bool test_is_validation = false;
  /// What a user should know, a line each: what was left out, which folder serves as validation, duplicates, …
  std::vector<std::string> notes;
  /// What may make results wrong, a line each.
  std::vector<std::string> warnings;
};

struct ListingOptions {
  /// Share of the pictures that go to validation where the data set itself does not say. In [0, 1).
  double val_fraction = kValFraction;
  /// False for embed and predict: pictures without a label are samples too, unknown labels are kept by name, one
  /// class is enough.
  bool labels_required = true;
  /// Where the classes are known already (a trained model's), in its order: labels are looked up here instead, and no
  /// training split is needed. Empty: they come from the data.
  std::vector<std::string> classes;
  /// How labels are read: one name (softmax, sigmoid), any number of names, or a number.
  Target target = Target::kSoftmax;
};

/// Lists the data set at `path`, which may be
///
/// - a folder with `train/` and one of `val/ validation/ valid/ test/` (letter case does not matter), each with one
///   folder a class. Validation is the first of val, validation, valid that exists; `test` serves as validation only
///   where none of them exists, else its samples have the split "test". `train/` alone is split by hash, see below;
/// - a folder of class folders, split by hash;
/// - a folder of pictures without labels, or one picture (only without `labels_required`);
/// - a manifest, .csv or .tsv with the header `image_path,label[,split][,slice…]` in any order. Paths are relative to
///   the manifest's folder or absolute. Splits are train, val (validation, valid) and test; a manifest without them
///   is split by hash, one with train and test only uses test as validation;
/// - .tar archives with the naming of WebDataset: one, a folder of nothing else, or `train-{000..012}.tar`. Members are
///   read where they lie. A picture's key is its path up to the first dot of its name; its label is the text of the
///   member KEY.cls. The split of an archive is a word of its name (`train-000.tar`, `birds_val_3.tar`), and without
///   such words the hash splits what has labels. image_path is ARCHIVE/MEMBER; samples stand archive by archive,
///   sorted, and there in their own order;
/// - `-`: a plain list on standard input, relative to the working folder;
/// - any other file: a plain list, one path a line, relative to the list's folder or absolute (only without
///   `labels_required`).
///
/// Split by hash: a sample is "val" where the first 8 hex digits of the SHA-1 of its image_path, as a number, divided
/// by 2^32, are below `val_fraction`; else "train". So a picture keeps its split when others come or go.
///
/// Multi-label: a manifest's label is any number of names with kLabelSeparator between them, spaces around them left
/// out, an empty label none; class folders give one name each, and one class is enough. Regression: a manifest's label
/// is a finite number; there are no classes.
///
/// Everything below a class folder belongs to the class. Symbolic links are followed, a link to a folder it stands in,
/// however far above, is not. A file that class folders or a manifest list more than once is noted, and warned of under
/// two labels or in two splits. Names that begin with '.', `__MACOSX`, `Thumbs.db` and `desktop.ini` are passed over in
/// silence; files whose extension is not a picture's (see is_picture_name) are left out and counted in the notes.
///
/// Throws DataError, on one line, for a path that does not exist or cannot be read, no pictures, a missing column, an
/// unknown split, a manifest or list none of whose pictures exists; with `labels_required` also for a source without
/// labels, fewer than two classes, no training pictures, a label that is not a class of the training split (naming the
/// folder, or the manifest's line), and a class folder of the training split without a picture: its class could not be
/// learned, and leaving it out would shift the indices of the others. In regression for a folder, and for a label that
/// is no finite number (naming the line), but not for want of training pictures. A class all of whose pictures the hash
/// rule puts into validation is warned of. UsageError for a val_fraction out of range.
Listing list_data(const std::string& path, const ListingOptions& options);

/// The pictures at `paths` in their order, without labels, as kind "list": each relative to `root` or absolute.
/// For paths given on the command line or on standard input. Throws DataError when there are none.
Listing list_paths(const std::vector<std::string>& paths, const std::string& root);

/// Hands notes and warnings on.
void tell(const Listing& listing, Reporter& reporter);

/// Rows (indices into Listing::samples) of one split, in order.
std::vector<int64_t> rows_of(const Listing& listing, std::string_view split);

/// Whether the extension is a picture's, in any letter case: jpg jpeg jpe jfif jif png apng webp gif bmp dib tif tiff
/// ppm pgm pbm pnm pam jp2 j2k pfm hdr exr sr ras.
bool is_picture_name(std::string_view name);

/// Whether the hash rule of list_data sends `image_path` to validation.
bool hashes_to_validation(std::string_view image_path, double val_fraction);

}  // namespace engraft::data

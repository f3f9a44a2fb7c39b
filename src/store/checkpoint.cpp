#include "store/checkpoint.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "base/errors.h"
#include "base/text.h"
#include "io/atomic_file.h"
#include "io/digest.h"
#include "io/safetensors.h"

namespace engraft::store {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFolder = "checkpoints";
constexpr const char* kWeightsFile = "weights.safetensors";
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "state.json";
constexpr const char* kDigests = "xxh3_128";
constexpr const char* kFormat = "engraft checkpoint";
constexpr int64_t kVersion = 1;
constexpr size_t kKept = 2;

const std::map<at::ScalarType, const char*>& dtypes() {
  static const std::map<at::ScalarType, const char*> table = {
      {at::kFloat, "F32"}, {at::kDouble, "F64"}, {at::kHalf, "F16"}, {at::kBFloat16, "BF16"}, {at::kLong, "I64"},
      {at::kInt, "I32"},   {at::kShort, "I16"},  {at::kChar, "I8"},  {at::kByte, "U8"},       {at::kBool, "BOOL"}};
  return table;
}

/// Strides come back as they were: what runs on other strides may round otherwise.
std::vector<tensor::NamedTensor> read_tensors(const std::string& path, const std::set<std::string>& channels_last) {
  const io::SafetensorsFile file = io::read_safetensors(path);
  std::vector<tensor::NamedTensor> out;
  for (const io::TensorEntry& entry : file.tensors) {
    const auto dtype =
        std::find_if(dtypes().begin(), dtypes().end(), [&](const auto& row) { return entry.dtype == row.second; });
    if (dtype == dtypes().end()) throw DataError(path + ": tensor '" + entry.name + "' is " + entry.dtype);
    at::Tensor value = at::empty(entry.shape, dtype->first);
    if (static_cast<int64_t>(value.nbytes()) != entry.bytes) {
      throw DataError(
          text::cat(path, ": tensor '", entry.name, "' has ", entry.bytes, " bytes for ", text::shape(entry.shape)));
    }
    std::copy_n(file.bytes.data() + entry.offset, entry.bytes, static_cast<char*>(value.mutable_data_ptr()));
    if (channels_last.count(entry.name) > 0) value = value.contiguous(at::MemoryFormat::ChannelsLast);
    out.push_back({entry.name, value});
  }
  return out;
}

std::string digest_of_file(const std::string& path) {
  io::Xxh128 digest;
  digest.add(io::read_file(path));
  return digest.hex();
}

/// Of state.json, as one line without its own digest.
std::string digest_of_state(io::Json about) {
  about.at(kDigests).erase(kStateFile);
  io::Xxh128 digest;
  digest.add(io::json_line(about));
  return digest.hex();
}

struct Found {
  int64_t step;
  fs::path path;
};

/// The checkpoints of a run by their names, the newest first.
std::vector<Found> checkpoints_of(const std::string& run) {
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator it(fs::path(run) / kFolder, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (!text::starts_with(name, "step-")) continue;
    const auto step = text::to_int(name.substr(5));
    if (step) found.push_back({*step, it->path()});
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.step > b.step; });
  return found;
}

Checkpoint read_checkpoint(const std::string& folder) {
  const io::Json about = io::read_json(folder + "/" + kStateFile);
  try {
    if (about.at("format") != kFormat || about.at("version") != kVersion) {
      throw DataError(folder + ": not a checkpoint of version 1");
    }
    if (about.at(kDigests).at(kStateFile) != digest_of_state(about)) {
      throw DataError(folder + "/" + kStateFile + ": is damaged");
    }
    for (const char* file : {kWeightsFile, kOptimizerFile}) {
      if (about.at(kDigests).at(file) != digest_of_file(folder + "/" + file)) {
        throw DataError(folder + "/" + file + ": is damaged");
      }
    }
    const auto channels_last = about.at("channels_last").get<std::set<std::string>>();
    return {about.at("step").get<int64_t>(), about.at("state"),
            read_tensors(folder + "/" + kWeightsFile, channels_last),
            read_tensors(folder + "/" + kOptimizerFile, channels_last)};
  } catch (const nlohmann::json::exception& error) {
    throw DataError(folder + "/" + kStateFile + ": " + error.what());
  }
}

}  // namespace

void write_tensors(const std::string& path, const std::vector<tensor::NamedTensor>& tensors) {
  std::vector<at::Tensor> held;  // what the views point into
  std::vector<io::TensorView> views;
  for (const tensor::NamedTensor& item : tensors) {
    held.push_back(item.value.detach().to(at::kCPU).contiguous());
    const at::Tensor& value = held.back();
    const auto dtype = dtypes().find(value.scalar_type());
    if (dtype == dtypes().end()) throw SystemError(path + ": tensor '" + item.name + "' has a type without a name");
    views.push_back(
        {item.name, dtype->second, value.sizes().vec(), value.const_data_ptr(), static_cast<int64_t>(value.nbytes())});
  }
  io::write_safetensors(path, views);
}

void write_checkpoint(const std::string& run, const Checkpoint& checkpoint) {
  const std::string folder = run + "/" + kFolder;
  const std::string place = folder + "/step-" + std::to_string(checkpoint.step);
  const std::string temporary = folder + "/.tmp-step-" + std::to_string(checkpoint.step);
  std::error_code error;
  fs::remove_all(temporary, error);
  io::make_folders(temporary);
  io::Json channels_last = io::Json::array();
  for (const auto* tensors : {&checkpoint.weights, &checkpoint.optimizer}) {
    for (const tensor::NamedTensor& item : *tensors) {
      const bool is_so = item.value.dim() == 4 && !item.value.is_contiguous() &&
                         item.value.is_contiguous(at::MemoryFormat::ChannelsLast);
      if (is_so) channels_last.push_back(item.name);
    }
  }
  write_tensors(temporary + "/" + kWeightsFile, checkpoint.weights);
  write_tensors(temporary + "/" + kOptimizerFile, checkpoint.optimizer);
  io::Json about = {{"format", kFormat},
                    {"version", kVersion},
                    {"step", checkpoint.step},
                    {"channels_last", channels_last},
                    {"state", checkpoint.state}};
  for (const char* file : {kWeightsFile, kOptimizerFile}) {
    about[kDigests][file] = digest_of_file(temporary + "/" + file);
  }
  about[kDigests][kStateFile] = digest_of_state(about);
  io::write_json(temporary + "/" + kStateFile, about);
  // One of the same step, from before the epoch's validation or a resumption, steps aside until the new one stands.
  const std::string aside = folder + "/.tmp-old-step-" + std::to_string(checkpoint.step);
  fs::remove_all(aside, error);
  fs::rename(place, aside, error);
  fs::rename(temporary, place, error);
  if (error) throw SystemError("cannot rename " + temporary + ": " + error.message());
  fs::remove_all(aside, error);
  const std::vector<Found> found = checkpoints_of(run);
  for (size_t i = kKept; i < found.size(); ++i) fs::remove_all(found[i].path, error);
}

std::optional<Checkpoint> newest_checkpoint(const std::string& run, Reporter& reporter) {
  for (const Found& found : checkpoints_of(run)) {
    try {
      return read_checkpoint(found.path.string());
    } catch (const DataError& error) {
      reporter.warn(std::string(error.what()) + "; this checkpoint is passed over");
    }
  }
  return std::nullopt;
}

std::optional<int64_t> newest_checkpoint_step(const std::string& run) {
  const std::vector<Found> found = checkpoints_of(run);
  return found.empty() ? std::nullopt : std::optional<int64_t>(found.front().step);
}

void remove_checkpoints(const std::string& run) {
  std::error_code unknown;
  fs::remove_all(fs::path(run) / kFolder, unknown);
}

}  // namespace engraft::store

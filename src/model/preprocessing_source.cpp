#include "model/preprocessing_source.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/errors.h"
#include "base/text.h"
#include "image/transform.h"
#include "io/toml.h"
#include "model/new_networks.h"
#include "model/table.h"

namespace engraft::model {

namespace {

const std::vector<std::string> kFields = {"size_px", "crop_ratio", "resize", "interpolation", "mean",
                                          "std",     "channels",   "exif",   "fast_decode"};

io::Json from_flags(const image::PreprocessingFlags& flags) {
  io::Json out = io::Json::object();
  if (flags.size) out["size_px"] = *flags.size;
  if (flags.crop_ratio) out["crop_ratio"] = *flags.crop_ratio;
  if (flags.resize) out["resize"] = *flags.resize;
  if (flags.interpolation) out["interpolation"] = *flags.interpolation;
  if (flags.mean) out["mean"] = *flags.mean;
  if (flags.std) out["std"] = *flags.std;
  if (flags.channels) out["channels"] = *flags.channels;
  if (flags.exif) out["exif"] = *flags.exif;
  if (flags.fast_decode) out["fast_decode"] = *flags.fast_decode;
  return out;
}

/// The preprocessing table of a document, with "size" understood for "size_px"; unknown keys are an error.
io::Json table_of(const io::Json& document, const std::string& where) {
  io::Json table = document.contains("preprocessing") ? document["preprocessing"] : io::Json::object();
  if (!table.is_object()) throw ModelError(where + ": preprocessing must be a table");
  io::Json out = io::Json::object();
  for (const auto& [key, value] : table.items()) {
    const std::string name = key == "size" ? "size_px" : key;
    if (std::find(kFields.begin(), kFields.end(), name) == kFields.end()) {
      const auto near = text::closest(name, kFields);
      throw ModelError(where + ": preprocessing: unknown key '" + key + "'" +
                       (near ? "; did you mean '" + *near + "'?" : "; known: " + text::join(kFields, " ")));
    }
    out[name] = value;
  }
  return out;
}

/// A file beside the backbone may hold a [preprocessing] table or the keys at its top level.
io::Json from_neighbour(const std::string& path) {
  io::Json document = io::read_toml(path);
  if (!document.contains("preprocessing")) document = io::Json{{"preprocessing", document}};
  try {
    const io::Json table = table_of(document, path);
    preprocessing_from_json(table, path);  // a wrong value is this file's fault
    return table;
  } catch (const ModelError& error) {
    throw UsageError(error.what());
  }
}

std::string value_text(const io::Json& value) {
  return value.is_string() ? value.get<std::string>() : io::json_line(value);
}

}  // namespace

std::vector<KnownBackbone> known_backbones() {
  std::vector<KnownBackbone> out;
  const io::Json table = io::parse_toml(kTableToml, "models/table.toml");
  for (const io::Json& row : table["backbone"]) {
    out.push_back({row.at("name"), row.at("sha256"), row.value("origin", ""), row.value("licence", "")});
  }
  return out;
}

ResolvedPreprocessing resolve_preprocessing(const image::PreprocessingFlags& flags, const std::string& backbone_path,
                                            const std::string& archive_json, const std::string& file_sha256) {
  struct Source {
    std::string name;
    io::Json fields;
  };
  std::vector<Source> sources;
  sources.push_back({"flags", from_flags(flags)});
  const bool is_file = !is_new_network(backbone_path);
  const std::string neighbour = std::filesystem::path(backbone_path).replace_extension(".toml").string();
  if (is_file && std::filesystem::exists(neighbour)) sources.push_back({neighbour, from_neighbour(neighbour)});
  if (!archive_json.empty()) {
    const std::string where = backbone_path + ": engraft.json";
    sources.push_back({is_file ? "engraft.json inside the file" : "the network's own",
                       table_of(io::parse_json(archive_json, where), where)});
  }
  const io::Json table = io::parse_toml(kTableToml, "models/table.toml");
  for (const io::Json& row : table["backbone"]) {
    if (row.at("sha256") != file_sha256) continue;
    sources.push_back({"built-in table, " + row.at("name").get<std::string>(), table_of(row, "models/table.toml")});
  }

  io::Json merged = io::Json::object();
  std::vector<std::string> told;
  for (const Source& source : sources) {
    std::vector<std::string> fields;
    for (const auto& [key, value] : source.fields.items()) {
      if (merged.contains(key)) continue;
      merged[key] = value;
      fields.push_back(key + " " + value_text(value));
    }
    if (!fields.empty()) told.push_back(text::join(fields, ", ") + " (" + source.name + ")");
  }
  std::vector<std::string> missing;
  if (!merged.contains("size_px")) missing.emplace_back("--size PX");
  if (!merged.contains("mean")) missing.emplace_back("--mean R,G,B");
  if (!merged.contains("std")) missing.emplace_back("--std R,G,B");
  if (!missing.empty()) {
    throw MissingPreprocessing(
        backbone_path + ": nothing says how its pictures are prepared; give " + text::join(missing, " ") +
        " (for torchvision's networks --size 224 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225), or "
        "write them into " +
        neighbour);
  }
  return {preprocessing_from_json(merged, backbone_path + ": preprocessing"), text::join(told, "; ")};
}

io::Json to_json(const image::Preprocessing& p) {
  io::Json out = {{"size_px", p.size_px},   {"crop_ratio", p.crop_ratio},
                  {"resize", p.resize},     {"interpolation", p.interpolation},
                  {"mean", p.mean},         {"std", p.std},
                  {"channels", p.channels}, {"exif", p.exif}};
  if (p.fast_decode) out["fast_decode"] = true;  // left out where false, as files from before the key have it
  return out;
}

image::Preprocessing preprocessing_from_json(const io::Json& json, const std::string& where) {
  image::Preprocessing p;
  std::string key;
  try {
    const auto read = [&](const char* name, auto& member) {
      key = name;
      if (json.contains(name)) json.at(name).get_to(member);
    };
    read("size_px", p.size_px);
    read("crop_ratio", p.crop_ratio);
    read("resize", p.resize);
    read("interpolation", p.interpolation);
    read("mean", p.mean);
    read("std", p.std);
    read("channels", p.channels);
    read("exif", p.exif);
    read("fast_decode", p.fast_decode);
  } catch (const nlohmann::json::exception&) {
    throw ModelError(where + ": " + key + ": a value of the wrong kind, " + io::json_line(json.at(key)));
  }
  try {
    image::validate(p);
  } catch (const Error& error) {
    throw ModelError(where + ": " + error.what());
  }
  return p;
}

}  // namespace engraft::model

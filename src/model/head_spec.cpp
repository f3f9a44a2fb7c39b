#include "model/head_spec.h"

#include "base/errors.h"
#include "base/text.h"

namespace engraft::model {

namespace {

HeadLayer parse_part(const std::string& part, const std::string& spec) {
  const auto refuse = [&](const std::string& why) {
    return UsageError("--head '" + spec + "': '" + part + "' " + why +
                      "; a head is a list of fc=WIDTH, relu, gelu, silu, tanh, dropout=P");
  };
  const size_t equals = part.find('=');
  const std::string word = text::lower(text::trim(part.substr(0, equals)));
  const std::string value = equals == std::string::npos ? "" : text::trim(part.substr(equals + 1));
  HeadLayer layer;
  if (word == "fc") {
    const auto width = text::to_int(value);
    if (!width || *width < 1) throw refuse("needs a whole width of at least 1");
    layer.width = *width;
    return layer;
  }
  if (word == "dropout") {
    const auto probability = text::to_double(value);
    if (!probability || !(*probability >= 0 && *probability < 1)) throw refuse("needs a probability from 0 to below 1");
    layer.kind = HeadLayer::Kind::kDropout;
    layer.probability = *probability;
    return layer;
  }
  for (const ActivationName& known : kActivations) {
    if (word != known.name) continue;
    if (equals != std::string::npos) throw refuse("takes no value");
    layer.kind = known.kind;
    return layer;
  }
  throw refuse("is not known");
}

}  // namespace

std::vector<HeadLayer> parse_head(const std::string& spec) {
  std::vector<HeadLayer> layers;
  if (text::trim(spec).empty() || text::trim(spec) == "linear") return layers;
  for (const std::string& part : text::split(spec, ',')) layers.push_back(parse_part(text::trim(part), spec));
  return layers;
}

}  // namespace engraft::model

#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "data/listing.h"

namespace engraft::data {

/// "photos.csv:17" or "photos/val/tabby": where sample i was named, for errors about it.
using PlaceOf = std::function<std::string(size_t)>;

/// The names in `label`: all of them where several may hold, each once, sorted as plain bytes; else `label` itself.
/// None in "".
std::vector<std::string> names_in(const std::string& label, Target target);

/// Gives every sample without a split one by the hash rule and says how many went where. Their labels are the classes,
/// also where a small class went to one side whole.
void split_by_hash(Listing& listing, const ListingOptions& options);

/// Fills the gaps that given splits leave, by the rules that folders follow: test serves as validation where there is
/// no val, and where there is neither a part of train is split off.
void settle_splits(Listing& listing, const ListingOptions& options);

/// The end of every listing whose samples have label names and splits: fixes Listing::classes (`options.classes`, or
/// what split_by_hash set, or the labels of the training split, or of all samples where there is none), sets
/// Sample::label or labels, and adds notes about classes that a split lacks; in regression it sets Sample::value.
/// `source` names the data set in errors. Throws DataError as list_data says.
void resolve_labels(Listing& listing, const ListingOptions& options, const std::string& source,
                    const PlaceOf& place_of);

/// Up to eight names, separated by commas.
std::string name_some(const std::vector<std::string>& names);

}  // namespace engraft::data

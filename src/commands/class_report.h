#pragma once

#include <string>
#include <vector>

#include "io/json.h"
#include "stats/judgement.h"

namespace engraft::commands {

/// What `evaluate` says of each class. "per_class", a row a class: "class", "rows" (pictures that have it), "right" (of
/// those, the predicted ones), "recall", "precision" (null where there is nothing to divide by); multi-label adds
/// "predicted" and "average_precision" (null where no picture has the class). And "confusion", [label][predicted],
/// where one class holds. Nothing in regression.
io::Json class_report(const stats::Answers& answers, const std::vector<std::string>& classes);

/// The rows of "per_class" as a table for a person; "" where `report` has none.
std::string class_table(const io::Json& report);

}  // namespace engraft::commands

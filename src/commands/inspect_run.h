#pragma once

#include <string>

#include "io/json.h"

namespace engraft::commands {

/// Whether `folder` is a run's: it has its result.json or, before that, its run.toml.
bool is_run_folder(const std::string& folder);

/// What the folder of a run says: its result.json; where it has none, `finished` (false), `running` (a process works on
/// it), `checkpoint_step` (where --resume goes on; null without a checkpoint), `epochs` (those done) and `last_epoch`,
/// their last line of metrics.jsonl (null where none is done). Throws DataError for a file that is damaged.
io::Json run_json(const std::string& folder);

/// The same for a person to read. Throws DataError where something is missing in it.
std::string run_text(const io::Json& run, const std::string& folder);

}  // namespace engraft::commands

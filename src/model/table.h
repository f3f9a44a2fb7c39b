#pragma once

namespace engraft::model {

/// models/table.toml, as text; its keys are described in models/README.md.
extern const char* const kTableToml;

}  // namespace engraft::model

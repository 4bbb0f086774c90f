// Text in columns.
#pragma once

#include <string>
#include <vector>

namespace husk::cmd {

using Row = std::vector<std::string>;

// Each column as wide as its widest cell and the gap, at least `min_width`; the last one ends where its text
// does.
std::string table_text(const std::vector<Row>& rows, size_t min_width, size_t gap);
// --format: true for json, false for table; throws kInvalid for anything else.
bool wants_json(const std::string& format);

}  // namespace husk::cmd

#include "cmd/husk/table.h"

#include <algorithm>

#include "libcontainer/base/error.h"

namespace husk::cmd {

std::string table_text(const std::vector<Row>& rows, size_t min_width, size_t gap) {
  std::vector<size_t> widths;
  for (const Row& row : rows) {
    widths.resize(std::max(widths.size(), row.size()), min_width);
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size() + gap);
  }
  std::string out;
  for (const Row& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += row[i];
      if (i + 1 < row.size()) out.append(widths[i] - row[i].size(), ' ');
    }
    out += '\n';
  }
  return out;
}

bool wants_json(const std::string& format) {
  if (format == "json") return true;
  if (format == "table") return false;
  throw Error(ErrorKind::kInvalid, "invalid format option \"" + printable(format, 80) + "\" (table or json)");
}

}  // namespace husk::cmd

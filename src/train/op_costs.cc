#include "train/op_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace outsize {
namespace {

constexpr double kBar = 0.1;

bool is_within(const OpCostRow& row) {
  return std::abs(row.error()) <= kBar;
}

// Lists of frequencies would fill the screen.
std::string shortened(std::string call) {
  const size_t begin = call.find('['), end = call.find(",]");
  if (end != std::string::npos && begin < end) call.replace(begin, end + 2 - begin, "[…]");
  return call;
}

}  // namespace

std::string short_text(const OpCall& call) {
  return shortened(to_string(call));
}

void OpCostTable::add(const Executor& executor) {
  ++steps_;
  for (const Executor::OpTime& time : executor.op_times()) {
    const auto [at, fresh] = index_.try_emplace(to_string(*time.call), entries_.size());
    if (fresh) entries_.push_back({*time.call, {}});
    entries_[at->second].seconds.push_back(time.seconds);
  }
}

std::vector<OpCostRow> OpCostTable::rows(const OpPrice& price) const {
  std::vector<OpCostRow> rows;
  for (const Entry& entry : entries_) {
    std::vector<double> sorted = entry.seconds;
    std::sort(sorted.begin(), sorted.end());
    const size_t middle = sorted.size() / 2;
    OpCostRow row;
    row.call = to_string(entry.call);
    row.op = entry.call.op->name;
    row.count = static_cast<int>(sorted.size()) / steps_;
    row.seconds = (sorted[middle] + sorted[(sorted.size() - 1) / 2]) / 2;
    row.predicted = price(entry.call);
    row.data = entry.call.op->time_depends_on;
    rows.push_back(row);
  }
  return rows;
}

std::string describe(const std::vector<OpCostRow>& rows) {
  std::string text =
      fmt::format("{:>5} {:>10} {:>10} {:>7}  call\n", "count", "ms", "foretold", "");
  double seconds = 0, predicted = 0, within_seconds = 0;
  int within = 0;
  for (const OpCostRow& row : rows) {
    text +=
        fmt::format("{:>5} {:>10.3f} {:>10.3f} {:>+6.1f}%  {}{}\n", row.count, row.seconds * 1e3,
                    row.predicted * 1e3, 100 * row.error(), shortened(row.call),
                    row.data != nullptr ? fmt::format(" [hangs on {}]", row.data) : "");
    seconds += row.count * row.seconds;
    predicted += row.count * row.predicted;
    within += is_within(row);
    if (is_within(row)) within_seconds += row.count * row.seconds;
  }
  return text + fmt::format(
                    "{} of {} shapes within {:.0f} %, {:.1f} % of the time; all {:.3f} s, "
                    "foretold {:.3f} s\n",
                    within, rows.size(), 100 * kBar, 100 * within_seconds / seconds, seconds,
                    predicted);
}

nlohmann::json op_costs_json(const std::vector<OpCostRow>& rows) {
  nlohmann::json list = nlohmann::json::array();
  for (const OpCostRow& row : rows)
    list.push_back({{"call", row.call},
                    {"op", row.op},
                    {"count", row.count},
                    {"seconds", row.seconds},
                    {"predicted_seconds", row.predicted},
                    {"error", row.error()},
                    {"hangs_on", row.data != nullptr ? nlohmann::json(row.data) : nullptr}});
  return list;
}

}  // namespace outsize

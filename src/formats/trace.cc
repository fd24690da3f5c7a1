#include "formats/trace.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace outsize {
namespace {

using Json = nlohmann::ordered_json;

// Position of a name, from 1, in the order of first use.
class Numbering {
 public:
  // `fresh` is set when the name was not known yet.
  size_t of(const std::string& name, bool& fresh) {
    const auto at = std::find(names_.begin(), names_.end(), name);
    fresh = at == names_.end();
    const auto index = static_cast<size_t>(at - names_.begin());
    if (fresh) names_.push_back(name);
    return index + 1;
  }

 private:
  std::vector<std::string> names_;
};

Json name_event(const char* what, size_t process, size_t thread, const std::string& name) {
  return {
      {"ph", "M"}, {"name", what}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

std::string trace_json(std::span<const TraceEvent> events) {
  constexpr double kMicro = 1e6;
  Json list = Json::array();
  Numbering groups, lanes;
  for (const TraceEvent& event : events) {
    bool new_group = false, new_lane = false;
    const size_t process = groups.of(event.group, new_group);
    const size_t thread = lanes.of(event.group + "\n" + event.lane, new_lane);
    if (new_group) list.push_back(name_event("process_name", process, 0, event.group));
    if (new_lane) list.push_back(name_event("thread_name", process, thread, event.lane));
    Json bar{{"ph", "X"},
             {"name", event.name},
             {"cat", event.lane},
             {"pid", process},
             {"tid", thread},
             {"ts", event.start_seconds * kMicro},
             {"dur", event.seconds * kMicro}};
    for (const auto& [key, value] : event.numbers) bar["args"][key] = value;
    list.push_back(std::move(bar));
  }
  const Json trace{{"displayTimeUnit", "ms"}, {"traceEvents", std::move(list)}};
  return trace.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace outsize

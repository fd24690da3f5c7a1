// Every op of a step, measured against what the cost model foretold: the table of `outsize bench
// ops`.
#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "exec/executor.h"

namespace outsize {

// One kind of call: same op, attributes and types.
struct OpCostRow {
  std::string call;            // to_string(OpCall)
  std::string op;              // its name
  int count = 0;               // launches per step
  double seconds = 0;          // median over launches and steps
  double predicted = 0;        // seconds
  const char* data = nullptr;  // OpDef::time_depends_on

  double error() const { return predicted / seconds - 1; }
};

// to_string(call) without long lists of attributes, for people.
std::string short_text(const OpCall& call);

// A table of every row, and the share of rows, and of time, foretold within 10 %.
std::string describe(const std::vector<OpCostRow>& rows);
nlohmann::json op_costs_json(const std::vector<OpCostRow>& rows);

// Collects launches over several steps.
class OpCostTable {
 public:
  void add(const Executor& executor);
  // In the order of first use.
  std::vector<OpCostRow> rows(const OpPrice& price) const;

 private:
  struct Entry {
    OpCall call;
    std::vector<double> seconds;  // one per launch
  };
  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_;
  int steps_ = 0;
};

}  // namespace outsize

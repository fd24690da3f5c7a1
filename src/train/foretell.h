// Foretold time: a priced plan played on a described machine, in words, in JSON and as a trace.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "graph/program.h"
#include "machine/machine.h"
#include "plan/simulate.h"

namespace outsize {

// The machine file of a run, and what a reader must know before believing it.
struct MachineChoice {
  std::optional<Machine> machine;  // absent: there is no file, and nothing is foretold
  std::string path;
  std::string note;  // missing, old, or measured with other threads; empty: nothing to say
};

// A missing file is no error. Throws as read_machine for one that is there and wrong.
MachineChoice choose_machine(const std::string& path);

// "measured 3 days ago": empty when the file has no date. `now`: seconds since 1970.
std::string show_age(const Machine& machine, double now);

SimulatedMachine simulated(const Machine& machine);

// The plan with targets at a share of the positions, in [0, 1], on a described machine.
Simulation play(const Plan& plan, const Machine& machine, double target_share);

// Stands in where nothing was measured: rates of an ordinary laptop, so that plans can be compared.
// No time is foretold from it.
Machine typical_machine();

// How long a step takes.
class Forecast {
 public:
  // Plays the plan, whose tasks were priced, with a target at every position.
  Forecast(const Plan& plan, const Machine& machine);

  const Simulation& step() const { return full_; }
  // With targets at a share of the positions, in [0, 1]: the head works on those alone.
  double seconds(double target_share) const;

  // What the step's time hangs on: a resource that is busy nearly all the time, or none
  // ("waiting"), where tasks wait for each other.
  struct Limit {
    std::string name;       // of a resource, or "waiting"
    double busy_share = 0;  // of the busiest resource
  };
  Limit limit() const;

 private:
  Simulation full_;
  double seconds_without_targets_;
  std::vector<double> target_seconds_;  // as Task::target_seconds, of the step
};

// "2.35 s foretold = 871 tok/s …", one line per thing to know; `tokens` of a step, `steps` of the
// run (0: unknown).
std::string describe_forecast(const Forecast& forecast, std::int64_t tokens, std::int64_t steps);
nlohmann::json forecast_to_json(const Forecast& forecast, std::int64_t tokens, std::int64_t steps);

// A trace of the simulated step; with `measured` (one per task) the real one beside it, and at each
// bar what the other one says. Either may be absent.
std::string step_trace(const Program& program, const Plan& plan, const Simulation* simulation,
                       const std::vector<TaskTime>* measured);

}  // namespace outsize

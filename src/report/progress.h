// What a person sees while a run goes on: one line that stays in place on a terminal, a plain line
// every few seconds or steps elsewhere. It only shows; every number is the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace outsize {

struct ProgressStep {
  std::int64_t step = 0;                    // updates made, this one included
  double loss = 0;                          // nats per target token
  std::int64_t tokens = 0;                  // of this step
  double seconds = 0;                       // of this step
  std::optional<double> gemm_share;         // achieved / measured GEMM rate, 1 = all of it
  std::optional<double> predicted_seconds;  // of this step
};

struct ProgressOptions {
  std::int64_t total_steps = 0;
  bool live = false;                            // a terminal: one line, redrawn
  std::int64_t log_every = 0;                   // steps between plain lines; 0: by time
  std::function<void(std::string_view)> write;  // takes each piece of output whole
  std::function<double()> now;                  // seconds of a clock that never goes back
  std::function<int()> columns;                 // of the terminal, asked for at every live line
};

// Options for a file descriptor: live when it is a terminal that can redraw, write() to it (errors
// are ignored: a closed pipe must not end a run), the steady clock.
ProgressOptions progress_to(int descriptor);

// COLUMNS where it is set to a number, else the terminal's width, else 80.
int terminal_columns(int descriptor);

// "3 s", "12 min", "5 h 02 min", "3 d 4 h".
std::string show_duration(double seconds);

// Any thread: a pause of a writer is told in the middle of a step.
class Progress {
 public:
  explicit Progress(ProgressOptions options);

  // Loss, times and rates are shown smoothed over about ten steps.
  void step(const ProgressStep& step);
  // A line of its own that stays: an evaluation, a save.
  void note(std::string_view line);
  // Leaves the last state standing and moves to the next line. Also by the destructor.
  void finish();
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

 private:
  // Mean over the past with weights that fade; exact mean while there are few values.
  struct Smoothed {
    double sum = 0;
    double weight = 0;
    void add(double value);
    double mean() const { return weight > 0 ? sum / weight : 0; }
  };

  std::string line(const ProgressStep& step, int columns) const;
  void draw(const ProgressStep& step, double now);
  bool due(const ProgressStep& step, double now) const;

  ProgressOptions options_;
  std::mutex mutex_;  // of all below
  Smoothed loss_;
  Smoothed tokens_;
  Smoothed seconds_;
  Smoothed gemm_share_;
  Smoothed predicted_;
  std::optional<ProgressStep> last_;
  std::optional<double> drawn_at_;
  bool drawn_last_ = false;
  bool standing_ = false;  // a live line is on the screen
};

}  // namespace outsize

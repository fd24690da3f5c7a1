// The part of planning that is about parameters: where weights, optimizer state and gradients are
// at each moment, and how updates run over them.
#pragma once

#include <vector>

#include "plan/label.h"
#include "plan/planner.h"
#include "plan/task_list.h"

namespace outsize {

class ParameterPlan {
 public:
  // Borrows all three.
  ParameterPlan(const PlanRequest& request, Plan& plan, TaskList& tasks);

  // Buffers that outlive a step, in the order that plans of one program share, and the store.
  void add_persistent();
  // Weights that are streamed are read once per span: a call's tasks without another call between.
  void begin_span() { ++span_; }
  // Buffer of a weight for the next task.
  int weight(int parameter);
  // Of all that a call uses. Without training nothing else wants the disk, and one read brings
  // them: small ones would each wait for it.
  std::vector<int> weights(int call);
  // Buffer of a gradient; `adds`: earlier tasks of the step have written to it.
  int gradient(int parameter, bool& adds);
  // After the last backward of a call: the sums over the gradients that are now complete.
  void finish_gradients(int call);
  // From the gradients of all calls. With a log: seals it.
  void add_norm();
  // Updates of the parameters that a call owns, and what makes them durable.
  void update(int call);
  // With a log, after all updates of the step before: this one may fill the log.
  void commit();

 private:
  // Buffers one after the other.
  struct Pieces {
    int begin = 0, end = 0;
    bool empty() const { return begin == end; }
    Pieces piece(std::int64_t i) const {
      return {begin + static_cast<int>(i), begin + static_cast<int>(i) + 1};
    }
  };

  const ProgramParameter& parameter(int p) const {
    return request_.program->parameters[static_cast<size_t>(p)];
  }
  std::int64_t count(int p) const { return parameter(p).type.shape.numel(); }
  const std::vector<StateBytes>& state_of(int p) const {
    return request_.training->optimizer[static_cast<size_t>(p)];
  }
  bool chosen(const std::vector<char>& knob, int p) const {
    return PlanKnobs::at(knob, owner_[static_cast<size_t>(p)]);
  }
  int add_buffer(std::string name, BufferKind kind, std::int64_t bytes, bool persistent,
                 bool moved);
  int bring_weight(int p, std::vector<Move>& reads);
  int buffer_count() const { return static_cast<int>(plan_.buffers.size()); }
  std::int64_t bytes_of(int buffer) const {
    return plan_.buffers[static_cast<size_t>(buffer)].extent.bytes;
  }
  void add_store(int p);
  void add_log(int p);
  void add_scratch_weight(int p);
  Pieces add_item(int p, std::string name, std::int64_t bytes);
  Pieces cut(const StoreItem& item, Tier tier, BufferKind kind, std::int64_t step);
  bool keeps_log() const { return request_.knobs.durable && request_.knobs.ring; }
  std::int64_t gradient_step(int p) const;
  std::int64_t piece_count(int p) const;
  bool updates_in_pieces(int p) const;
  void offload_gradient(int p, int position);
  Pieces scratch_pieces(int p, bool persistent);
  Pieces pieces_of(const Pieces& all, int p, std::int64_t first, std::int64_t elements) const;
  void bring_pieces(const Pieces& pieces, int buffer, std::vector<Move>& reads) const;
  static void append(BufferIds& list, const Pieces& pieces);
  void write_gradient(int p, const Pieces& pieces);
  void update_piece(int p, std::int64_t first, std::int64_t elements);
  BufferPiece bring(int p, int item, std::int64_t first, std::int64_t elements);
  BufferPiece bring_gradient(int p, std::int64_t first, std::int64_t elements);
  bool shares_weight(int p) const;
  bool in_one_buffer(int p, size_t item) const;
  void send(int p, const UpdateBinding& bound);
  void flush_writes();
  void publish(int call);
  void keep_gradient(int p);

  const PlanRequest& request_;
  Plan& plan_;
  TaskList& tasks_;
  Label label_;
  std::vector<int> owner_;                 // per parameter: the first call that uses it
  std::vector<std::vector<int>> members_;  // per call: the parameters it owns
  double gradient_bytes_ = 0;              // of all parameters
  std::vector<char> written_;              // per parameter: its gradient has been begun
  struct Streamed {
    int span = -1, buffer = -1;
  };
  std::vector<Streamed> streamed_;  // per parameter: when it was read last
  int span_ = 0;
  std::vector<std::vector<Pieces>> items_;  // in the store, per parameter: weight first
  struct Offloaded {
    int position = -1;  // of the task after which it leaves
    Pieces pieces;
  };
  std::vector<Offloaded> offloaded_;  // per parameter: its gradient in scratch or log
  std::vector<Pieces> log_;           // per parameter
  int sealed_at_ = -1;                // position: from there on the log may be read
  std::vector<int> published_at_;     // per call: position; -1: not in this step
  std::vector<Move> moves_, reads_;   // of the tasks at hand
  std::vector<Move> writes_;          // of updates, not yet given to a task
  std::int64_t write_bytes_ = 0;
};

}  // namespace outsize

#include "plan/parameter_plan.h"

#include <algorithm>

#include "core/error.h"

namespace outsize {
namespace {

// Writes are gathered up to this: small ones would each wait for the disk.
constexpr std::int64_t kWriteBytes = 16 << 20;
constexpr std::int64_t kScratchPiece = 4 << 20;

}  // namespace

ParameterPlan::ParameterPlan(const PlanRequest& request, Plan& plan, TaskList& tasks)
    : request_(request), plan_(plan), tasks_(tasks), label_(request.detail == PlanDetail::whole) {
  const Program& program = *request.program;
  owner_.assign(program.parameters.size(), -1);
  members_.resize(program.calls.size());
  for (size_t c = 0; c < program.calls.size(); ++c)
    for (int p : program.calls[c].parameters) {
      if (owner_[static_cast<size_t>(p)] >= 0) continue;
      owner_[static_cast<size_t>(p)] = static_cast<int>(c);
      members_[c].push_back(p);
    }
  for (int p = 0; p < static_cast<int>(owner_.size()); ++p)
    gradient_bytes_ += 4.0 * static_cast<double>(count(p));
  written_.assign(program.parameters.size(), false);
  streamed_.resize(program.parameters.size());
  published_at_.assign(program.calls.size(), -1);
  items_.resize(program.parameters.size());
  offloaded_.resize(program.parameters.size());
  log_.resize(program.parameters.size());
}

int ParameterPlan::add_buffer(std::string name, BufferKind kind, std::int64_t bytes,
                              bool persistent, bool moved) {
  plan_.buffers.push_back({std::move(name), kind, {Tier::host, 0, bytes}, persistent, moved});
  return static_cast<int>(plan_.buffers.size()) - 1;
}

void ParameterPlan::add_persistent() {
  const PlanKnobs& knobs = request_.knobs;
  plan_.store.resize(owner_.size());
  for (int p = 0; p < static_cast<int>(owner_.size()); ++p) {
    const ProgramParameter& own = parameter(p);
    plan_.weights.push_back(chosen(knobs.stream_weights, p)
                                ? -1
                                : add_buffer(label_("{}", own.name), BufferKind::weights,
                                             own.type.bytes(), true, knobs.durable));
    if (!request_.training) {
      if (plan_.weights.back() < 0) add_scratch_weight(p);
      continue;
    }
    plan_.optimizer.emplace_back();
    for (const StateBytes& state : state_of(p))
      plan_.optimizer.back().push_back(chosen(knobs.stream_state, p)
                                           ? -1
                                           : add_buffer(label_("{}:{}", own.name, state.name),
                                                        BufferKind::optimizer, state.bytes, true,
                                                        knobs.durable));
    if (knobs.durable) add_store(p);
    if (keeps_log() && !request_.training->forward_only) add_log(p);
  }
  plan_.gradients.assign(owner_.size(), -1);
  if (!knobs.deferred() || request_.training->forward_only || request_.part == StepPart::redo)
    return;
  for (int p = 0; p < static_cast<int>(owner_.size()); ++p) keep_gradient(p);
}

// A plan that only runs forward has no store: what it streams lies in scratch, filled before the
// first run. In pieces, so that one is verified while the next ones come.
void ParameterPlan::add_scratch_weight(int p) {
  const ProgramParameter& own = parameter(p);
  const int begin = buffer_count();
  const std::int64_t all = whole_pages(own.type.bytes());
  for (std::int64_t at = 0; at < all; at += kScratchPiece) {
    add_buffer(label_("{}", own.name), BufferKind::weights, std::min(kScratchPiece, all - at), true,
               true);
    plan_.buffers.back().extent.tier = Tier::scratch;
  }
  items_[static_cast<size_t>(p)] = {{begin, buffer_count()}};
}

// From one step's backward to the next step's forward.
void ParameterPlan::keep_gradient(int p) {
  if (!chosen(request_.knobs.offload_gradients, p)) {
    plan_.gradients[static_cast<size_t>(p)] = add_buffer(
        label_("d_{}", parameter(p).name), BufferKind::gradients, count(p) * 4, true, keeps_log());
    return;
  }
  if (!keeps_log()) offloaded_[static_cast<size_t>(p)].pieces = scratch_pieces(p, true);
}

// Bytes of a gradient that move at once.
std::int64_t ParameterPlan::gradient_step(int p) const {
  return piece_count(p) > 1 ? request_.knobs.piece_elements * 4 : whole_pages(count(p) * 4);
}

ParameterPlan::Pieces ParameterPlan::scratch_pieces(int p, bool persistent) {
  const int begin = buffer_count();
  const std::int64_t all = whole_pages(count(p) * 4), step = gradient_step(p);
  for (std::int64_t at = 0; at < all; at += step) {
    add_buffer(label_("d_{}", parameter(p).name), BufferKind::gradients, std::min(step, all - at),
               persistent, true);
    plan_.buffers.back().extent.tier = Tier::scratch;
  }
  return {begin, buffer_count()};
}

// A gradient that does not stay in RAM comes back from the log.
void ParameterPlan::add_log(int p) {
  const auto index = static_cast<size_t>(p);
  StoreItem place{label_("d_{}", parameter(p).name), owner_[index], plan_.log_bytes,
                  whole_pages(count(p) * 4)};
  log_[index] = cut(place, Tier::log, BufferKind::gradients, gradient_step(p));
  if (chosen(request_.knobs.offload_gradients, p) || request_.part == StepPart::redo)
    offloaded_[index].pieces = log_[index];
  plan_.log_bytes += place.bytes;
  plan_.log.push_back(std::move(place));
}

std::int64_t ParameterPlan::piece_count(int p) const {
  const std::int64_t piece = request_.knobs.piece_elements;
  return request_.training->elementwise ? (count(p) + piece - 1) / piece : 1;
}

// Weight and state as extents of the store, cut into the pieces that move.
void ParameterPlan::add_store(int p) {
  const ProgramParameter& own = parameter(p);
  auto& items = items_[static_cast<size_t>(p)];
  items.reserve(1 + state_of(p).size());
  plan_.store[static_cast<size_t>(p)].reserve(items.capacity());
  items.push_back(add_item(p, label_("{}", own.name), own.type.bytes()));
  for (const StateBytes& state : state_of(p))
    items.push_back(add_item(p, label_("{}:{}", own.name, state.name), state.bytes));
}

ParameterPlan::Pieces ParameterPlan::add_item(int p, std::string name, std::int64_t bytes) {
  StoreItem place{std::move(name), owner_[static_cast<size_t>(p)], plan_.store_bytes,
                  whole_pages(bytes)};
  const std::int64_t step =
      piece_count(p) > 1 ? request_.knobs.piece_elements * (bytes / count(p)) : place.bytes;
  plan_.store_bytes += place.bytes;
  const Pieces pieces = cut(place, Tier::store, BufferKind::optimizer, step);
  plan_.store[static_cast<size_t>(p)].push_back(std::move(place));
  return pieces;
}

ParameterPlan::Pieces ParameterPlan::cut(const StoreItem& item, Tier tier, BufferKind kind,
                                         std::int64_t step) {
  const int begin = buffer_count();
  for (std::int64_t at = 0; at < item.bytes; at += step) {
    add_buffer(item.name, kind, 0, true, true);
    plan_.buffers.back().extent = {tier, item.offset + at, std::min(step, item.bytes - at)};
  }
  return {begin, buffer_count()};
}

int ParameterPlan::weight(int p) {
  moves_.clear();
  const int id = bring_weight(p, moves_);
  const int owner = owner_[static_cast<size_t>(p)];
  tasks_.read_first(published_at_[static_cast<size_t>(owner)], moves_);
  return id;
}

std::vector<int> ParameterPlan::weights(int call) {
  const auto& parameters = request_.program->calls[static_cast<size_t>(call)].parameters;
  std::vector<int> ids;
  ids.reserve(parameters.size());
  if (request_.training) {
    for (int p : parameters) ids.push_back(weight(p));
    return ids;
  }
  moves_.clear();
  for (int p : parameters) ids.push_back(bring_weight(p, moves_));
  tasks_.read_first(-1, moves_);
  return ids;
}

int ParameterPlan::bring_weight(int p, std::vector<Move>& reads) {
  const int resident = plan_.weights[static_cast<size_t>(p)];
  if (resident >= 0) return resident;
  Streamed& streamed = streamed_[static_cast<size_t>(p)];
  if (streamed.span == span_) return streamed.buffer;
  streamed = {span_, add_buffer(label_("{}", parameter(p).name), BufferKind::weights,
                                parameter(p).type.bytes(), false, true)};
  bring_pieces(items_[static_cast<size_t>(p)].front(), streamed.buffer, reads);
  return streamed.buffer;
}

int ParameterPlan::gradient(int p, bool& adds) {
  int& id = plan_.gradients[static_cast<size_t>(p)];
  adds = written_[static_cast<size_t>(p)];
  written_[static_cast<size_t>(p)] = true;
  if (id < 0)
    id = add_buffer(label_("d_{}", parameter(p).name), BufferKind::gradients, count(p) * 4, false,
                    keeps_log() || chosen(request_.knobs.offload_gradients, p));
  return id;
}

void ParameterPlan::finish_gradients(int call) {
  const auto& members = members_[static_cast<size_t>(call)];
  if (members.empty()) return;
  Task task{.kind = TaskKind::gradient_squares, .call = call, .microbatch = -1};
  for (int p : members) {
    ensure(written_[static_cast<size_t>(p)], "[planner] parameter '{}' gets no gradient",
           parameter(p).name);
    task.reads.push_back(plan_.gradients[static_cast<size_t>(p)]);
    task.bytes += 4.0 * static_cast<double>(count(p));
  }
  task.seconds = request_.training->norm_seconds * task.bytes / std::max(gradient_bytes_, 1.0);
  task.writes = {plan_.gradient_squares};
  const int position = tasks_.add(std::move(task));
  for (int p : members)
    if (keeps_log())
      write_gradient(p, log_[static_cast<size_t>(p)]);
    else if (chosen(request_.knobs.offload_gradients, p))
      offload_gradient(p, position);
}

void ParameterPlan::offload_gradient(int p, int position) {
  Offloaded& offloaded = offloaded_[static_cast<size_t>(p)];
  offloaded.position = position;
  if (offloaded.pieces.empty()) offloaded.pieces = scratch_pieces(p, false);
  write_gradient(p, offloaded.pieces);
}

void ParameterPlan::write_gradient(int p, const Pieces& pieces) {
  const int gradient = plan_.gradients[static_cast<size_t>(p)];
  moves_.clear();
  std::int64_t at = 0;
  for (int piece = pieces.begin; piece < pieces.end; ++piece) {
    moves_.push_back({gradient, piece, at, 0, bytes_of(piece)});
    at += bytes_of(piece);
  }
  tasks_.write_after(moves_);
}

void ParameterPlan::add_norm() {
  Task norm{.kind = TaskKind::gradient_norm};
  norm.reads = {plan_.gradient_squares};
  norm.writes = {plan_.gradient_norm};
  norm.bytes = 8.0 * static_cast<double>(owner_.size());
  if (request_.training->norm_seconds > 0) norm.seconds = 1e-6;  // a sum of a few numbers
  const int position = tasks_.add(std::move(norm));
  if (!keeps_log()) return;
  Task seal{.kind = TaskKind::seal};
  seal.reads = {plan_.gradient_norm};
  for (const Pieces& pieces : log_) append(seal.writes, pieces);
  tasks_.follow(std::move(seal));
  sealed_at_ = position;
}

void ParameterPlan::commit() {
  if (keeps_log()) tasks_.follow({.kind = TaskKind::commit});
}

void ParameterPlan::append(BufferIds& list, const Pieces& pieces) {
  for (int piece = pieces.begin; piece < pieces.end; ++piece) list.push_back(piece);
}

// Where nothing of a parameter comes or goes there is nothing to gain from pieces.
bool ParameterPlan::updates_in_pieces(int p) const {
  const PlanKnobs& knobs = request_.knobs;
  return piece_count(p) > 1 && (chosen(knobs.stream_weights, p) || chosen(knobs.stream_state, p) ||
                                chosen(knobs.offload_gradients, p));
}

void ParameterPlan::update(int call) {
  if (members_[static_cast<size_t>(call)].empty()) return;
  for (int p : members_[static_cast<size_t>(call)]) {
    const std::int64_t step = updates_in_pieces(p) ? request_.knobs.piece_elements : count(p);
    for (std::int64_t first = 0; first < count(p); first += step)
      update_piece(p, first, std::min(step, count(p) - first));
  }
  if (request_.knobs.durable) publish(call);
}

// Those of a parameter that hold some of its elements: one piece, or all.
ParameterPlan::Pieces ParameterPlan::pieces_of(const Pieces& all, int p, std::int64_t first,
                                               std::int64_t elements) const {
  return elements == count(p) ? all : all.piece(first / request_.knobs.piece_elements);
}

// Reads that put pieces one after the other into a buffer.
void ParameterPlan::bring_pieces(const Pieces& pieces, int buffer, std::vector<Move>& reads) const {
  std::int64_t offset = 0;
  for (int piece = pieces.begin; piece < pieces.end; ++piece) {
    const std::int64_t bytes = whole_pages(bytes_of(piece));
    reads.push_back({piece, buffer, 0, offset, bytes});
    offset += bytes;
  }
}

// Memory of one item's elements: within what is resident, or read into a buffer of its own.
BufferPiece ParameterPlan::bring(int p, int item, std::int64_t first, std::int64_t elements) {
  const bool is_weight = item == 0;
  const auto index = static_cast<size_t>(p);
  const int resident =
      is_weight ? plan_.weights[index] : plan_.optimizer[index][static_cast<size_t>(item) - 1];
  const std::int64_t bytes =
      is_weight ? parameter(p).type.bytes() : state_of(p)[static_cast<size_t>(item) - 1].bytes;
  const bool whole = elements == count(p);
  const std::int64_t element = whole ? 0 : bytes / count(p);
  if (resident >= 0) return {resident, first * element};
  const int id = add_buffer(label_("{}", parameter(p).name),
                            is_weight ? BufferKind::weights : BufferKind::optimizer,
                            whole ? bytes : elements * element, false, true);
  bring_pieces(pieces_of(items_[index][static_cast<size_t>(item)], p, first, elements), id, reads_);
  return {id, 0};
}

BufferPiece ParameterPlan::bring_gradient(int p, std::int64_t first, std::int64_t elements) {
  const Offloaded& offloaded = offloaded_[static_cast<size_t>(p)];
  if (offloaded.pieces.empty()) return {plan_.gradients[static_cast<size_t>(p)], first * 4};
  const int id = add_buffer(label_("d_{}", parameter(p).name), BufferKind::gradients, elements * 4,
                            false, true);
  moves_.clear();
  bring_pieces(pieces_of(offloaded.pieces, p, first, elements), id, moves_);
  tasks_.read_first(std::max(offloaded.position, sealed_at_), moves_);
  return {id, 0};
}

void ParameterPlan::update_piece(int p, std::int64_t first, std::int64_t elements) {
  const auto index = static_cast<size_t>(p);
  UpdateBinding bound{.first = first, .count = elements};
  reads_.clear();
  const bool shared = shares_weight(p);
  const std::int64_t element = parameter(p).type.bytes() / std::max<std::int64_t>(count(p), 1);
  bound.weight = shared ? BufferPiece{weight(p), first * element} : bring(p, 0, first, elements);
  for (int s = 0; s < static_cast<int>(state_of(p).size()); ++s)
    bound.state.push_back(bring(p, s + 1, first, elements));
  bound.gradient = bring_gradient(p, first, elements);
  tasks_.read_first(-1, reads_);
  const std::int64_t scratch = request_.training->update_scratch_bytes[index];
  if (scratch > 0)
    bound.scratch.buffer = add_buffer(label_("{}.update", parameter(p).name), BufferKind::workspace,
                                      scratch, false, false);
  Task task{.kind = TaskKind::update, .parameter = p};
  task.update = static_cast<int>(plan_.updates.size());
  task.reads = {bound.gradient.buffer, bound.weight.buffer};
  if (request_.knobs.updates != UpdateTime::with_backward)
    task.reads.push_back(plan_.gradient_norm);
  task.writes = {bound.weight.buffer};
  for (const BufferPiece& state : bound.state) {
    task.reads.push_back(state.buffer);
    task.writes.push_back(state.buffer);
  }
  if (bound.scratch.buffer >= 0) task.writes.push_back(bound.scratch.buffer);
  const double share = static_cast<double>(elements) / static_cast<double>(count(p));
  double bytes =
      4.0 * static_cast<double>(count(p)) + static_cast<double>(parameter(p).type.bytes());
  for (const StateBytes& state : state_of(p)) bytes += static_cast<double>(state.bytes);
  task.bytes = share * bytes;
  if (!request_.training->update_seconds.empty())
    task.seconds = share * request_.training->update_seconds[index];
  tasks_.add(std::move(task));
  if (request_.knobs.durable) send(p, bound);
  plan_.updates.push_back(std::move(bound));
}

// Where forward follows or backward went before, the weight is in RAM as a whole, for both.
bool ParameterPlan::shares_weight(int p) const {
  if (request_.part == StepPart::middle) return true;
  const auto index = static_cast<size_t>(p);
  return request_.knobs.updates == UpdateTime::with_backward && plan_.weights[index] < 0 &&
         streamed_[index].span == span_;
}

// All pieces of an item are updated within one buffer.
bool ParameterPlan::in_one_buffer(int p, size_t item) const {
  const auto index = static_cast<size_t>(p);
  if (item == 0) return shares_weight(p) || plan_.weights[index] >= 0;
  return plan_.optimizer[index][item - 1] >= 0;
}

// What an update has left, to the store. Where the pieces of an item lie in one buffer they go as a
// whole, after the last one: forward, and the updates of the others, would have to wait for the
// disk.
void ParameterPlan::send(int p, const UpdateBinding& bound) {
  const bool last = bound.first + bound.count == count(p);
  const auto& items = items_[static_cast<size_t>(p)];
  for (size_t i = 0; i < items.size(); ++i) {
    const bool whole = in_one_buffer(p, i);
    if (whole && !last) continue;
    const Pieces pieces = whole ? items[i] : pieces_of(items[i], p, bound.first, bound.count);
    const BufferPiece& source = i == 0 ? bound.weight : bound.state[i - 1];
    std::int64_t offset = whole ? 0 : source.offset;
    for (int piece = pieces.begin; piece < pieces.end; ++piece) {
      writes_.push_back({source.buffer, piece, offset, 0, bytes_of(piece)});
      offset += bytes_of(piece);
      write_bytes_ += bytes_of(piece);
    }
  }
  if (write_bytes_ >= kWriteBytes) flush_writes();
}

void ParameterPlan::flush_writes() {
  tasks_.write_after(writes_);
  writes_.clear();
  write_bytes_ = 0;
}

void ParameterPlan::publish(int call) {
  flush_writes();
  Task task{.kind = TaskKind::publish, .group = call};
  for (int p : members_[static_cast<size_t>(call)])
    for (const Pieces& pieces : items_[static_cast<size_t>(p)]) append(task.writes, pieces);
  published_at_[static_cast<size_t>(call)] = tasks_.next() - 1;
  tasks_.follow(std::move(task));
}

}  // namespace outsize

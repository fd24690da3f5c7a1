#include "plan/parameter_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"

namespace outsize {
namespace {

// Writes are gathered up to this: small ones would each wait for the disk.
constexpr std::int64_t kWriteBytes = 16 << 20;
constexpr std::int64_t kScratchPiece = 4 << 20;

}  // namespace

ParameterPlan::ParameterPlan(const PlanRequest& request, Plan& plan, TaskList& tasks)
    : request_(request), plan_(plan), tasks_(tasks) {
  const Program& program = *request.program;
  owner_.assign(program.parameters.size(), -1);
  members_.resize(program.calls.size());
  for (size_t c = 0; c < program.calls.size(); ++c)
    for (int p : program.calls[c].parameters) {
      if (owner_[static_cast<size_t>(p)] >= 0) continue;
      owner_[static_cast<size_t>(p)] = static_cast<int>(c);
      members_[c].push_back(p);
    }
  written_.assign(program.parameters.size(), false);
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
    plan_.weights.push_back(
        chosen(knobs.stream_weights, p)
            ? -1
            : add_buffer(own.name, BufferKind::weights, own.type.bytes(), true, knobs.durable));
    if (!request_.training) {
      if (plan_.weights.back() < 0) add_scratch_weight(p);
      continue;
    }
    plan_.optimizer.emplace_back();
    for (const StateBytes& state : state_of(p))
      plan_.optimizer.back().push_back(chosen(knobs.stream_state, p)
                                           ? -1
                                           : add_buffer(own.name + ":" + state.name,
                                                        BufferKind::optimizer, state.bytes, true,
                                                        knobs.durable));
    if (knobs.durable) add_store(p);
    if (keeps_log() && !request_.training->forward_only) add_log(p);
  }
  plan_.gradients.assign(owner_.size(), -1);
  if (!knobs.deferred || request_.training->forward_only || request_.part == StepPart::redo) return;
  for (int p = 0; p < static_cast<int>(owner_.size()); ++p) keep_gradient(p);
}

// A plan that only runs forward has no store: what it streams lies in scratch, filled before the
// first run. In pieces, so that one is verified while the next ones come.
void ParameterPlan::add_scratch_weight(int p) {
  const ProgramParameter& own = parameter(p);
  Pieces pieces;
  const std::int64_t all = whole_pages(own.type.bytes());
  for (std::int64_t at = 0; at < all; at += kScratchPiece) {
    pieces.push_back(
        add_buffer(own.name, BufferKind::weights, std::min(kScratchPiece, all - at), true, true));
    plan_.buffers.back().extent.tier = Tier::scratch;
  }
  items_[static_cast<size_t>(p)] = {pieces};
}

// From one step's backward to the next step's forward.
void ParameterPlan::keep_gradient(int p) {
  const std::string name = "d_" + parameter(p).name;
  if (!chosen(request_.knobs.offload_gradients, p)) {
    plan_.gradients[static_cast<size_t>(p)] =
        add_buffer(name, BufferKind::gradients, count(p) * 4, true, keeps_log());
    return;
  }
  if (!keeps_log()) offloaded_[static_cast<size_t>(p)].pieces = scratch_pieces(p, true);
}

// Bytes of a gradient that move at once.
std::int64_t ParameterPlan::gradient_step(int p) const {
  return piece_count(p) > 1 ? request_.knobs.piece_elements * 4 : whole_pages(count(p) * 4);
}

ParameterPlan::Pieces ParameterPlan::scratch_pieces(int p, bool persistent) {
  Pieces pieces;
  const std::int64_t all = whole_pages(count(p) * 4), step = gradient_step(p);
  for (std::int64_t at = 0; at < all; at += step) {
    pieces.push_back(add_buffer("d_" + parameter(p).name, BufferKind::gradients,
                                std::min(step, all - at), persistent, true));
    plan_.buffers.back().extent.tier = Tier::scratch;
  }
  return pieces;
}

// A gradient that does not stay in RAM comes back from the log.
void ParameterPlan::add_log(int p) {
  const auto index = static_cast<size_t>(p);
  const StoreItem place{"d_" + parameter(p).name, owner_[index], plan_.log_bytes,
                        whole_pages(count(p) * 4)};
  log_[index] = cut(place, Tier::log, BufferKind::gradients, gradient_step(p));
  if (chosen(request_.knobs.offload_gradients, p) || request_.part == StepPart::redo)
    offloaded_[index].pieces = log_[index];
  plan_.log_bytes += place.bytes;
  plan_.log.push_back(place);
}

std::int64_t ParameterPlan::piece_count(int p) const {
  const std::int64_t piece = request_.knobs.piece_elements;
  return request_.training->elementwise ? (count(p) + piece - 1) / piece : 1;
}

// Weight and state as extents of the store, cut into the pieces that move.
void ParameterPlan::add_store(int p) {
  const ProgramParameter& own = parameter(p);
  auto& items = items_[static_cast<size_t>(p)];
  items.push_back(add_item(p, own.name, own.type.bytes()));
  for (const StateBytes& state : state_of(p))
    items.push_back(add_item(p, own.name + ":" + state.name, state.bytes));
}

ParameterPlan::Pieces ParameterPlan::add_item(int p, const std::string& name, std::int64_t bytes) {
  const StoreItem place{name, owner_[static_cast<size_t>(p)], plan_.store_bytes,
                        whole_pages(bytes)};
  const std::int64_t step =
      piece_count(p) > 1 ? request_.knobs.piece_elements * (bytes / count(p)) : place.bytes;
  plan_.store_bytes += place.bytes;
  plan_.store[static_cast<size_t>(p)].push_back(place);
  return cut(place, Tier::store, BufferKind::optimizer, step);
}

ParameterPlan::Pieces ParameterPlan::cut(const StoreItem& item, Tier tier, BufferKind kind,
                                         std::int64_t step) {
  Pieces pieces;
  for (std::int64_t at = 0; at < item.bytes; at += step) {
    pieces.push_back(add_buffer(item.name, kind, 0, true, true));
    plan_.buffers.back().extent = {tier, item.offset + at, std::min(step, item.bytes - at)};
  }
  return pieces;
}

int ParameterPlan::weight(int p) {
  std::vector<Move> reads;
  const int id = bring_weight(p, reads);
  const int owner = owner_[static_cast<size_t>(p)];
  tasks_.read_before(tasks_.next(), published_at_[static_cast<size_t>(owner)], std::move(reads));
  return id;
}

std::vector<int> ParameterPlan::weights(int call) {
  std::vector<int> ids;
  std::vector<Move> reads;
  for (int p : request_.program->calls[static_cast<size_t>(call)].parameters)
    ids.push_back(request_.training ? weight(p) : bring_weight(p, reads));
  tasks_.read_before(tasks_.next(), -1, std::move(reads));
  return ids;
}

int ParameterPlan::bring_weight(int p, std::vector<Move>& reads) {
  const int resident = plan_.weights[static_cast<size_t>(p)];
  if (resident >= 0) return resident;
  const auto [at, fresh] = streamed_.try_emplace(p, -1);
  if (!fresh) return at->second;
  at->second =
      add_buffer(parameter(p).name, BufferKind::weights, parameter(p).type.bytes(), false, true);
  std::int64_t offset = 0;
  for (int piece : items_[static_cast<size_t>(p)].front()) {
    const std::int64_t bytes = plan_.buffers[static_cast<size_t>(piece)].extent.bytes;
    reads.push_back({piece, at->second, 0, offset, bytes});
    offset += bytes;
  }
  return at->second;
}

int ParameterPlan::gradient(int p, bool& adds) {
  int& id = plan_.gradients[static_cast<size_t>(p)];
  adds = written_[static_cast<size_t>(p)];
  written_[static_cast<size_t>(p)] = true;
  if (id < 0)
    id = add_buffer("d_" + parameter(p).name, BufferKind::gradients, count(p) * 4, false,
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
  double all = 0;
  for (int p = 0; p < static_cast<int>(owner_.size()); ++p)
    all += 4.0 * static_cast<double>(count(p));
  task.seconds = request_.training->norm_seconds * task.bytes / std::max(all, 1.0);
  task.writes = {plan_.gradient_squares};
  const int position = tasks_.add(std::move(task));
  for (int p : members)
    if (keeps_log())
      write_gradient(p, position, log_[static_cast<size_t>(p)]);
    else if (chosen(request_.knobs.offload_gradients, p))
      offload_gradient(p, position);
}

void ParameterPlan::offload_gradient(int p, int position) {
  Offloaded& offloaded = offloaded_[static_cast<size_t>(p)];
  offloaded.position = position;
  if (offloaded.pieces.empty()) offloaded.pieces = scratch_pieces(p, false);
  write_gradient(p, position, offloaded.pieces);
}

void ParameterPlan::write_gradient(int p, int position, const Pieces& pieces) {
  const int gradient = plan_.gradients[static_cast<size_t>(p)];
  std::vector<Move> moves;
  std::int64_t at = 0;
  for (int piece : pieces) {
    const std::int64_t bytes = plan_.buffers[static_cast<size_t>(piece)].extent.bytes;
    moves.push_back({gradient, piece, at, 0, bytes});
    at += bytes;
  }
  tasks_.write_after(position, std::move(moves));
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
  for (const Pieces& pieces : log_)
    seal.writes.insert(seal.writes.end(), pieces.begin(), pieces.end());
  tasks_.follow(position, std::move(seal));
  sealed_at_ = position;
}

void ParameterPlan::commit() {
  if (keeps_log()) tasks_.follow(tasks_.next() - 1, {.kind = TaskKind::commit});
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

// Memory of one item's elements: within what is resident, or read into a buffer of its own.
BufferPiece ParameterPlan::bring(int p, int item, std::int64_t first, std::int64_t elements,
                                 std::vector<Move>& reads) {
  const bool is_weight = item == 0;
  const auto index = static_cast<size_t>(p);
  const int resident =
      is_weight ? plan_.weights[index] : plan_.optimizer[index][static_cast<size_t>(item) - 1];
  const std::int64_t bytes =
      is_weight ? parameter(p).type.bytes() : state_of(p)[static_cast<size_t>(item) - 1].bytes;
  const bool whole = elements == count(p);
  const std::int64_t element = whole ? 0 : bytes / count(p);
  if (resident >= 0) return {resident, first * element};
  const Pieces& stored = items_[index][static_cast<size_t>(item)];
  const std::int64_t own = whole ? bytes : elements * element;
  const int id = add_buffer(
      parameter(p).name, is_weight ? BufferKind::weights : BufferKind::optimizer, own, false, true);
  const auto begin = static_cast<size_t>(whole ? 0 : first / request_.knobs.piece_elements);
  const size_t end = whole ? stored.size() : begin + 1;
  std::int64_t offset = 0;
  for (size_t i = begin; i < end; ++i) {
    const std::int64_t part = plan_.buffers[static_cast<size_t>(stored[i])].extent.bytes;
    reads.push_back({stored[i], id, 0, offset, part});
    offset += part;
  }
  return {id, 0};
}

BufferPiece ParameterPlan::bring_gradient(int p, std::int64_t first, std::int64_t elements,
                                          std::vector<Move>& reads) {
  const Offloaded& offloaded = offloaded_[static_cast<size_t>(p)];
  if (offloaded.pieces.empty()) return {plan_.gradients[static_cast<size_t>(p)], first * 4};
  const int id =
      add_buffer("d_" + parameter(p).name, BufferKind::gradients, elements * 4, false, true);
  const bool whole = elements == count(p);
  const size_t begin = whole ? 0 : static_cast<size_t>(first / request_.knobs.piece_elements);
  const size_t end = whole ? offloaded.pieces.size() : begin + 1;
  std::int64_t offset = 0;
  for (size_t i = begin; i < end; ++i) {
    const int piece = offloaded.pieces[i];
    const std::int64_t part = whole_pages(plan_.buffers[static_cast<size_t>(piece)].extent.bytes);
    reads.push_back({piece, id, 0, offset, part});
    offset += part;
  }
  return {id, 0};
}

void ParameterPlan::update_piece(int p, std::int64_t first, std::int64_t elements) {
  const auto index = static_cast<size_t>(p);
  UpdateBinding bound{.first = first, .count = elements};
  std::vector<Move> reads, gradient_reads;
  // Where forward follows, the weight is read whole, for both.
  const bool shared = request_.part == StepPart::middle;
  const std::int64_t element = parameter(p).type.bytes() / std::max<std::int64_t>(count(p), 1);
  bound.weight =
      shared ? BufferPiece{weight(p), first * element} : bring(p, 0, first, elements, reads);
  for (int s = 0; s < static_cast<int>(state_of(p).size()); ++s)
    bound.state.push_back(bring(p, s + 1, first, elements, reads));
  bound.gradient = bring_gradient(p, first, elements, gradient_reads);
  const std::int64_t scratch = request_.training->update_scratch_bytes[index];
  if (scratch > 0)
    bound.scratch.buffer =
        add_buffer(parameter(p).name + ".update", BufferKind::workspace, scratch, false, false);
  Task task{.kind = TaskKind::update, .parameter = p};
  task.update = static_cast<int>(plan_.updates.size());
  task.reads = {bound.gradient.buffer, bound.weight.buffer, plan_.gradient_norm};
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
  tasks_.read_before(tasks_.next(), std::max(offloaded_[index].position, sealed_at_),
                     std::move(gradient_reads));
  tasks_.read_before(tasks_.next(), -1, std::move(reads));
  tasks_.add(std::move(task));
  plan_.updates.push_back(bound);
  if (request_.knobs.durable) send(p, bound);
}

// What an update has left, to the store. The weight that forward reads next goes as a whole, after
// its last piece: the updates of the others would have to wait for the disk.
void ParameterPlan::send(int p, const UpdateBinding& bound) {
  const bool whole = bound.count == count(p);
  const bool last = bound.first + bound.count == count(p);
  const auto& items = items_[static_cast<size_t>(p)];
  for (size_t i = 0; i < items.size(); ++i) {
    const bool shared_weight = i == 0 && request_.part == StepPart::middle;
    if (shared_weight && !last) continue;
    const bool all = whole || shared_weight;
    const BufferPiece& source = i == 0 ? bound.weight : bound.state[i - 1];
    const size_t begin = all ? 0 : static_cast<size_t>(bound.first / request_.knobs.piece_elements);
    const size_t end = all ? items[i].size() : begin + 1;
    std::int64_t offset = shared_weight ? 0 : source.offset;
    for (size_t piece = begin; piece < end; ++piece) {
      const int id = items[i][piece];
      const std::int64_t bytes = plan_.buffers[static_cast<size_t>(id)].extent.bytes;
      writes_.push_back({source.buffer, id, offset, 0, bytes});
      offset += bytes;
      write_bytes_ += bytes;
    }
  }
  if (write_bytes_ >= kWriteBytes) flush_writes();
}

void ParameterPlan::flush_writes() {
  tasks_.write_after(tasks_.next() - 1, std::move(writes_));
  writes_.clear();
  write_bytes_ = 0;
}

void ParameterPlan::publish(int call) {
  flush_writes();
  Task task{.kind = TaskKind::publish, .group = call};
  for (int p : members_[static_cast<size_t>(call)])
    for (const Pieces& pieces : items_[static_cast<size_t>(p)])
      task.writes.insert(task.writes.end(), pieces.begin(), pieces.end());
  published_at_[static_cast<size_t>(call)] = tasks_.next() - 1;
  tasks_.follow(tasks_.next() - 1, std::move(task));
}

}  // namespace outsize

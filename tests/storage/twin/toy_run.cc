#include "storage/twin/toy_run.h"

#include <cstring>
#include <numeric>

#include "storage/aligned_buffer.h"

namespace outsize {
namespace {

constexpr int kRetries = 200;  // of a full disk and of single errors
constexpr std::uint64_t kWordsPerPage = kPageBytes / sizeof(std::uint64_t);

std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t x = (a ^ (b * 0x9E3779B97F4A7C15)) * 0xBF58476D1CE4E5B9;
  return (x ^ (x >> 29)) * 0x94D049BB133111EB + b;
}

std::uint64_t digest_of(const ToyState& state) {
  std::uint64_t digest = state.chain;
  for (const auto& group : state.groups)
    for (std::size_t i = 0; i < group.size(); i += 7) digest = mix(digest, group[i]);
  return digest;
}

// Gradients of a group depend on the state of all of them.
void fill_gradient(std::uint64_t digest, std::size_t group, std::vector<std::uint64_t>& words) {
  std::uint64_t x = mix(digest, group);
  for (std::uint64_t& word : words) word = x = x * 6364136223846793005u + 1442695040888963407u;
}

void update(std::vector<std::uint64_t>& state, const std::vector<std::uint64_t>& gradient) {
  for (std::size_t i = 0; i < state.size(); ++i)
    state[i] = state[i] * 3 + gradient[i % gradient.size()];
}

// Two slots leave some groups as they are; the ring takes all.
bool is_updated(const ToyOptions& options, std::int64_t step, std::size_t group) {
  return options.scheme == StoreScheme::ring || (static_cast<std::size_t>(step) + group) % 3 != 0;
}

std::size_t words_of(const GroupSpec& group) {
  std::uint64_t bytes = 0;
  for (const ExtentSpec& extent : group.extents) bytes += extent.bytes;
  return bytes / sizeof(std::uint64_t);
}

std::size_t gradient_words(const GroupSpec& group) {
  const std::uint64_t bytes =
      std::accumulate(group.log_bytes.begin(), group.log_bytes.end(), std::uint64_t{0});
  return bytes / sizeof(std::uint64_t);
}

ToyState initial_state(const ToyOptions& options) {
  ToyState state;
  const StoreLayout layout = toy_layout(options);
  for (std::size_t g = 0; g < layout.groups.size(); ++g) {
    state.groups.emplace_back(words_of(layout.groups[g]));
    fill_gradient(17, g, state.groups[g]);
  }
  return state;
}

struct Blob {
  std::uint64_t chain = 0;
  std::uint64_t digest = 0;
};

std::span<const std::byte> bytes_of(const Blob& blob) {
  return std::as_bytes(std::span(&blob, 1));
}

Blob blob_from(std::span<const std::byte> bytes) {
  Blob blob;
  if (bytes.size() != sizeof blob)
    throw Error(ErrorKind::Internal, "a blob came back with another size");
  std::memcpy(&blob, bytes.data(), sizeof blob);
  return blob;
}

class ToyRun {
 public:
  ToyRun(Disk& disk, const std::string& folder, const ToyOptions& options)
      : options_(options), layout_(toy_layout(options)), state_(initial_state(options)) {
    const StoreOptions store_options{{.block_bytes = 2 * kPageBytes, .depth = 3, .requests = 12},
                                     options.on_kill_point};
    for (const GroupSpec& group : layout_.groups)
      buffers_.emplace_back(words_of(group) * sizeof(std::uint64_t) + gradient_words(group) * 8);
    const bool found = StateStore::exists(disk, folder);
    store_ = found ? StateStore::open(disk, folder, store_options)
                   : StateStore::create(disk, folder, layout_, store_options);
    if (!found) write_first();
    if (options_.on_commit) options_.on_commit(store_->step());
  }

  ToyState run() {
    if (store_->pending()) {
      log_blob_ = blob_from(store_->pending()->blob);
      finish_step();
    }
    while (store_->step() < options_.steps) step();
    read_state();
    return state_;
  }

 private:
  // Until it is done, or gives up.
  void insist(const std::function<StoreStatus()>& action) {
    for (int i = 0;; ++i) {
      const StoreStatus status = action();
      if (status.ok()) return;
      const bool again = status.code() == IoCode::no_space || status.code() == IoCode::io;
      if (!again || i == kRetries) throw store_->error(status);
    }
  }

  // All extents of a group at once; those that fail again.
  void move_group(std::size_t g, bool write) {
    std::vector<StorePart> parts;
    std::byte* memory = buffers_[g].data();
    for (std::size_t e = 0; e < layout_.groups[g].extents.size(); ++e)
      parts.push_back(
          {static_cast<int>(g), static_cast<int>(e), 0, layout_.groups[g].extents[e].bytes});
    std::vector<StoreTicket> tickets;
    for (const StorePart& part : parts) {
      tickets.push_back(write ? store_->write(part, memory) : store_->read(part, memory));
      memory += part.bytes;
    }
    memory = buffers_[g].data();
    std::vector<StoreStatus> statuses;
    for (const StoreTicket& ticket : tickets) statuses.push_back(store_->wait(ticket));
    for (std::size_t e = 0; e < parts.size(); ++e) {
      const StoreStatus first = statuses[e];
      int turn = 0;
      insist([&] {
        if (turn++ == 0) return first;
        return store_->wait(write ? store_->write(parts[e], memory)
                                  : store_->read(parts[e], memory));
      });
      memory += parts[e].bytes;
    }
  }

  void write_group(std::size_t g) {
    std::memcpy(buffers_[g].data(), state_.groups[g].data(), state_.groups[g].size() * 8);
    move_group(g, true);
    insist([&] { return store_->finish_group(static_cast<int>(g)); });
  }

  void read_group(std::size_t g) {
    std::memset(buffers_[g].data(), 0, buffers_[g].size());
    move_group(g, false);
    std::memcpy(state_.groups[g].data(), buffers_[g].data(), state_.groups[g].size() * 8);
  }

  void read_state() {
    for (std::size_t g = 0; g < state_.groups.size(); ++g) read_group(g);
    state_.chain = blob_from(store_->blob()).chain;
    state_.step = store_->step();
  }

  void write_first() {
    for (std::size_t g = 0; g < state_.groups.size(); ++g) write_group(g);
    insist([&] { return store_->commit(0, bytes_of(Blob{})); });
  }

  // Each extent of the group's log with its part of the buffer.
  template <class Action>
  void for_log(std::size_t g, Action action) {
    std::byte* memory = buffers_[g].data();
    const auto& logs = layout_.groups[g].log_bytes;
    for (std::size_t l = 0; l < logs.size(); ++l) {
      action({static_cast<int>(g), log_extent(static_cast<int>(l)), 0, logs[l]}, memory);
      memory += logs[l];
    }
  }

  void write_log(std::size_t g, const std::vector<std::uint64_t>& gradient) {
    std::memcpy(buffers_[g].data(), gradient.data(), gradient.size() * 8);
    for_log(g, [&](const StorePart& part, std::byte* memory) {
      insist([&] { return store_->wait(store_->write(part, memory)); });
    });
  }

  void read_log(std::size_t g, std::vector<std::uint64_t>& gradient) {
    for_log(g, [&](const StorePart& part, std::byte* memory) {
      insist([&] { return store_->wait(store_->read(part, memory)); });
    });
    std::memcpy(gradient.data(), buffers_[g].data(), gradient.size() * 8);
  }

  void step() {
    read_state();
    log_blob_.digest = digest_of(state_);
    log_blob_.chain = mix(state_.chain, log_blob_.digest);
    const std::int64_t next = store_->step() + 1;
    for (std::size_t g = 0; g < state_.groups.size(); ++g) {
      if (!is_updated(options_, next, g)) continue;
      std::vector<std::uint64_t> gradient(gradient_words(layout_.groups[g]));
      fill_gradient(log_blob_.digest, g, gradient);
      if (options_.scheme == StoreScheme::ring) {
        write_log(g, gradient);
      } else {
        update(state_.groups[g], gradient);
        write_group(g);
      }
    }
    if (options_.scheme == StoreScheme::two_slots) return commit(next);
    insist([&] { return store_->seal_log(next, bytes_of(log_blob_)); });
    finish_step();
  }

  // Ring: also what is left to do after a crash.
  void finish_step() {
    const PendingStep pending = *store_->pending();
    for (auto g = static_cast<std::size_t>(pending.first_group); g < state_.groups.size(); ++g) {
      std::vector<std::uint64_t> gradient(gradient_words(layout_.groups[g]));
      read_group(g);
      read_log(g, gradient);
      update(state_.groups[g], gradient);
      write_group(g);
    }
    commit(pending.step);
  }

  void commit(std::int64_t step) {
    insist([&] { return store_->commit(step, bytes_of(log_blob_)); });
    if (options_.on_commit) options_.on_commit(step);
  }

  ToyOptions options_;
  StoreLayout layout_;
  ToyState state_;
  Blob log_blob_;
  std::vector<AlignedBuffer> buffers_;
  std::unique_ptr<StateStore> store_;  // last: it waits for what is in flight in the buffers
};

}  // namespace

StoreLayout toy_layout(const ToyOptions& options) {
  const std::uint64_t page = kPageBytes * static_cast<std::uint64_t>(options.scale);
  StoreLayout layout;
  layout.scheme = options.scheme;
  layout.identity = 4711;
  layout.block_bytes = 2 * kPageBytes;
  layout.blob_bytes_max = 64;
  layout.groups = {{"embed", {{"master", 3 * page}, {"moment", page}}, {page}},
                   {"block.0", {{"master", page}, {"moment", 2 * page}}, {page, page}},
                   {"norm", {{"master", page}}, {page}},
                   {"block.1", {{"master", page}, {"moment", 2 * page}}, {page, page}}};
  return layout;
}

ToyState toy_expected(const ToyOptions& options) {
  ToyState state = initial_state(options);
  const StoreLayout layout = toy_layout(options);
  while (state.step < options.steps) {
    const std::uint64_t digest = digest_of(state);
    ++state.step;
    for (std::size_t g = 0; g < state.groups.size(); ++g) {
      if (!is_updated(options, state.step, g)) continue;
      std::vector<std::uint64_t> gradient(gradient_words(layout.groups[g]));
      fill_gradient(digest, g, gradient);
      update(state.groups[g], gradient);
    }
    state.chain = mix(state.chain, digest);
  }
  return state;
}

ToyState run_toy(Disk& disk, const std::string& folder, const ToyOptions& options) {
  return ToyRun(disk, folder, options).run();
}

}  // namespace outsize

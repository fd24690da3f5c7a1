#include "storage/store.h"

#include "storage/placement.h"

namespace outsize {
namespace {

std::string state_path(const std::string& folder) {
  return folder + "/state";
}

std::string unfinished_path(const std::string& folder) {
  return folder + "/state.new";
}

std::unique_ptr<DiskLock> lock_folder(Disk& disk, const std::string& folder) {
  return disk.lock(folder + "/lock");
}

void require_room(Disk& disk, const std::string& folder, std::uint64_t needed) {
  const std::uint64_t free = disk.free_bytes(folder);
  if (free >= needed) return;
  fail(
      ErrorKind::OutOfMemory,
      "[{}] no room on the disk for the state; got {} bytes free; expected {}; try: free {} bytes, "
      "or the ring layout if this is the one with two slots",
      folder, free, needed, needed - free);
}

// A process that was killed leaves writes that can be read and yet be lost. What recovery builds on
// must be durable; and it must come from the disk, since after a failed sync memory may hold more.
void settle_file(Disk& disk, const std::string& folder, AsyncFile& file) {
  if (const IoStatus status = file.sync(); !status.ok())
    throw io_error(status, file.path(), "synchronise");
  disk.sync_folder(folder);
  if (const IoStatus status = file.drop_cache(); !status.ok())
    throw io_error(status, file.path(), "synchronise");
}

// Reads head page and payload of the layout record, sized by what the file can hold.
StoreLayout read_layout(AsyncFile& file) {
  const std::string& path = file.path();
  const std::uint64_t size = file.size();
  AlignedBuffer page(kPageBytes);
  RecordHead head;
  if (size < 2 * kPageBytes)
    fail(ErrorKind::Corruption, "[{}] too short for a state store; got {} bytes", path, size);
  if (const IoStatus status = file.read_now(0, page.data(), kPageBytes); !status.ok())
    throw io_error(status, path, "read");
  const RecordState state = check_head(page.data(), size - kPageBytes, head);
  if (state == RecordState::unknown_version)
    fail(ErrorKind::Unsupported,
         "[{}] unknown format version; got {}; expected {}; try: the "
         "version of this program that wrote it",
         path, head.version, kRecordVersion);
  if (state == RecordState::damaged || head.kind != RecordKind::layout)
    fail(ErrorKind::Corruption,
         "[{}] the layout record at bytes 0 to {} is damaged, or this is no state store", path,
         kPageBytes);
  // An unpadded file could end within the last page of the payload.
  if (record_bytes(head.payload_bytes) > size)
    fail(ErrorKind::Corruption, "[{}] the file ends within its layout record", path);
  AlignedBuffer record(record_bytes(head.payload_bytes));
  if (const IoStatus status = file.read_now(0, record.data(), record.size()); !status.ok())
    throw io_error(status, path, "read");
  if (!payload_is_sound(record.data(), head))
    fail(ErrorKind::Corruption, "[{}] the layout record at bytes {} to {} is damaged", path,
         kPageBytes, record.size());
  const std::string payload(reinterpret_cast<const char*>(record.data()) + kPageBytes,
                            head.payload_bytes);
  return parse_layout(payload, head.identity, path);
}

Geometry geometry_of_file(const StoreLayout& layout, const AsyncFile& file) {
  try {
    Geometry geometry(layout);
    if (geometry.file_bytes <= file.size()) return geometry;
    fail(ErrorKind::Corruption, "[{}] the file has been cut; got {} bytes; expected {}",
         file.path(), file.size(), geometry.file_bytes);
  } catch (const Error& error) {  // what create() took was valid
    if (error.kind() != ErrorKind::InvalidArgument) throw;
    fail(ErrorKind::Corruption, "[{}] the layout record is no layout: {}", file.path(),
         error.what());
  }
}

}  // namespace

StateStore::StateStore(Disk& disk, std::string folder, std::unique_ptr<DiskLock> lock,
                       StoreLayout layout, Geometry geometry, std::unique_ptr<AsyncFile> file,
                       const StoreOptions& options)
    : disk_(disk),
      folder_(std::move(folder)),
      lock_(std::move(lock)),
      layout_(std::move(layout)),
      geometry_(std::move(geometry)),
      options_(options),
      file_(std::move(file)),
      record_(geometry_.record_bytes_max) {
  const std::size_t groups = geometry_.groups.size();
  const std::size_t blocks = geometry_.blocks, all_blocks = blocks + geometry_.log_blocks;
  blob_.reserve(layout_.blob_bytes_max);
  log_blob_.reserve(layout_.blob_bytes_max);
  places_.resize(groups);
  next_places_.resize(groups);
  phases_.resize(groups);
  writes_in_flight_.resize(groups);
  sums_.resize(blocks);
  next_sums_.resize(all_blocks);
  written_.resize(all_blocks);
  requests_.resize(static_cast<std::size_t>(options_.queue.requests));
  for (std::uint32_t i = 0; i < requests_.size(); ++i) free_requests_.push_back(i);
}

StateStore::~StateStore() = default;

bool StateStore::exists(Disk& disk, const std::string& folder) {
  return disk.exists(state_path(folder));
}

StoreLayout StateStore::layout_of(Disk& disk, const std::string& folder) {
  AsyncFile file(disk.open(state_path(folder)), {});
  return read_layout(file);
}

void StateStore::remove_unfinished(Disk& disk, const std::string& folder) {
  if (const std::string path = unfinished_path(folder); disk.exists(path)) disk.remove(path);
}

std::unique_ptr<StateStore> StateStore::create(Disk& disk, const std::string& folder,
                                               const StoreLayout& layout,
                                               const StoreOptions& options) {
  Geometry geometry(layout);
  std::unique_ptr<DiskLock> lock = lock_folder(disk, folder);
  if (exists(disk, folder))
    fail(ErrorKind::InvalidArgument, "[{}] there is a state store already; try: open it", folder);
  const std::string path = unfinished_path(folder);
  remove_unfinished(disk, folder);
  require_room(disk, folder, geometry.file_bytes);
  auto file = std::make_unique<AsyncFile>(disk.create(path), options.queue);
  if (const IoStatus status = file->allocate(geometry.file_bytes); !status.ok())
    throw io_error(status, path, "allocate");
  std::unique_ptr<StateStore> store(new StateStore(  // tidy: allow banned: private constructor
      disk, folder, std::move(lock), layout, std::move(geometry), std::move(file), options));
  store->kill_point(KillPoint::after_allocate);
  const std::string payload = layout_payload(layout);
  std::memcpy(store->record_.data() + kPageBytes, payload.data(), payload.size());
  const RecordHead head{.kind = RecordKind::layout, .identity = layout.identity};
  const StoreStatus status =
      store->write_record(0, head, payload.size(), KillPoint::after_allocate);
  if (!status.ok()) throw store->error(status);
  store->kill_point(KillPoint::after_layout);
  return store;
}

std::unique_ptr<StateStore> StateStore::open(Disk& disk, const std::string& folder,
                                             const StoreOptions& options) {
  std::unique_ptr<DiskLock> lock = lock_folder(disk, folder);
  if (!exists(disk, folder))
    fail(ErrorKind::InvalidArgument, "[{}] there is no state store; try: create it", folder);
  auto file = std::make_unique<AsyncFile>(disk.open(state_path(folder)), options.queue);
  settle_file(disk, folder, *file);
  StoreLayout layout = read_layout(*file);
  Geometry geometry = geometry_of_file(layout, *file);
  std::unique_ptr<StateStore> store(  // tidy: allow banned: private constructor
      new StateStore(disk, folder, std::move(lock), std::move(layout), std::move(geometry),
                     std::move(file), options));
  store->recover();
  return store;
}

void StateStore::kill_point(KillPoint point) const {
  if (options_.on_kill_point) options_.on_kill_point(point);
}

// The first commit turns the unfinished file into the store.
StoreStatus StateStore::publish() {
  kill_point(KillPoint::before_rename);
  try {
    disk_.rename(unfinished_path(folder_), state_path(folder_));
    kill_point(KillPoint::after_rename);
    disk_.sync_folder(folder_);
  } catch (const Error&) {  // whether the name is durable, nobody knows
    const std::lock_guard lock(mutex_);
    failed_ = true;
    return {{IoCode::failed}, {}};
  }
  kill_point(KillPoint::after_folder_sync);
  return {};
}

std::optional<PendingStep> StateStore::pending() const {
  const std::lock_guard lock(mutex_);
  if (!sealed_) return std::nullopt;
  return PendingStep{log_step_, {log_blob_.data(), log_blob_.size()}, cursor_};
}

Error StateStore::error(const StoreStatus& status) const {
  const StorePart& part = status.part;
  if (part.group < 0 || static_cast<std::size_t>(part.group) >= layout_.groups.size() ||
      status.code() != IoCode::corrupt)
    return io_error(status.io, path(), "read or write");
  const GroupSpec& group = layout_.groups[static_cast<std::size_t>(part.group)];
  const std::string extent = is_log(part.extent)
                                 ? fmt::format("gradient log {}", log_index(part.extent))
                                 : group.extents[static_cast<std::size_t>(part.extent)].name;
  return Error(
      ErrorKind::Corruption,
      fmt::format("[{}] group '{}', extent '{}': bytes {} to {} (of the file: from {}) are "
                  "damaged; try: an older copy of the run",
                  path(), group.name, extent, part.offset, part.offset + part.bytes,
                  status.io.offset));
}

}  // namespace outsize

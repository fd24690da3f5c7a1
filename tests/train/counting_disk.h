// A disk that counts the bytes it is asked to read, and leaves the work to another one.
#pragma once

#include <atomic>

#include "storage/disk.h"

namespace outsize::train_test {

class CountingDisk : public Disk {
 public:
  explicit CountingDisk(Disk& disk) : disk_(disk) {}
  std::int64_t read_bytes() const { return read_bytes_; }

  std::unique_ptr<RawFile> create(const std::string& path) override {
    return std::make_unique<File>(disk_.create(path), read_bytes_);
  }
  std::unique_ptr<RawFile> open(const std::string& path) override {
    return std::make_unique<File>(disk_.open(path), read_bytes_);
  }
  bool exists(const std::string& path) override { return disk_.exists(path); }
  void create_folder(const std::string& path) override { disk_.create_folder(path); }
  void remove(const std::string& path) override { disk_.remove(path); }
  void rename(const std::string& from, const std::string& to) override { disk_.rename(from, to); }
  void sync_folder(const std::string& path) override { disk_.sync_folder(path); }
  std::uint64_t free_bytes(const std::string& folder) override { return disk_.free_bytes(folder); }
  std::unique_ptr<DiskLock> lock(const std::string& path) override { return disk_.lock(path); }

 private:
  using Count = std::atomic<std::int64_t>;

  class Mover : public PieceMover {
   public:
    Mover(std::unique_ptr<PieceMover> mover, Count& count)
        : mover_(std::move(mover)), count_(count) {}
    void start(const FilePiece& piece) noexcept override {
      if (!piece.write) count_ += static_cast<std::int64_t>(piece.bytes);
      mover_->start(piece);
    }
    void flush() noexcept override { mover_->flush(); }
    int collect(std::span<MovedPiece> moved) noexcept override { return mover_->collect(moved); }

   private:
    std::unique_ptr<PieceMover> mover_;
    Count& count_;
  };

  class File : public RawFile {
   public:
    File(std::unique_ptr<RawFile> file, Count& count) : file_(std::move(file)), count_(count) {}
    const std::string& path() const override { return file_->path(); }
    std::unique_ptr<PieceMover> make_mover(int depth) override {
      return std::make_unique<Mover>(file_->make_mover(depth), count_);
    }
    int sync() noexcept override { return file_->sync(); }
    int allocate(std::uint64_t bytes) noexcept override { return file_->allocate(bytes); }
    std::uint64_t size() const override { return file_->size(); }
    int forget(std::uint64_t offset, std::uint64_t bytes, bool written) noexcept override {
      return file_->forget(offset, bytes, written);
    }

   private:
    std::unique_ptr<RawFile> file_;
    Count& count_;
  };

  Disk& disk_;
  Count read_bytes_ = 0;
};

}  // namespace outsize::train_test

// Reading safetensors (https://huggingface.co/docs/safetensors): u64 header length N, N bytes of
// JSON, tensor bytes. Only headers are kept in memory; tensor bytes are read where and when asked
// for.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/dtype.h"
#include "core/file.h"
#include "core/shape.h"

namespace outsize {

struct TensorInfo {
  std::string name;
  // The stored element. Types this system does not compute with (stored_type says which: BOOL, I8,
  // F8_E4M3, U32 …) show as the integer of their width: their bytes can be copied, not converted.
  DType dtype = DType::f32;
  std::string stored_type;
  Shape shape;               // outermost first
  std::uint64_t offset = 0;  // of the first byte, from the start of the file
  std::uint64_t bytes = 0;
  std::size_t file = 0;  // which file of a TensorFolder
};

// One .safetensors file, fully checked on opening: header of at most 100,000,000 bytes, dtype,
// shape and bytes agree, the tensors fill the file without hole or overlap, no name twice. Reading
// is safe from several threads.
class SafetensorsFile {
 public:
  // Throws Corruption when the file is not valid, Unsupported for an unknown dtype or more than 5
  // axes, Io when it cannot be read; names the file and the tensor.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  // In order of their bytes.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Raw bytes of elements [first, first + count) of one of tensors(). Throws InvalidArgument when
  // out of range.
  void read(const TensorInfo& tensor, std::int64_t first, std::int64_t count,
            void* destination) const;

 private:
  void check_layout(std::uint64_t data_start);

  File file_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string> metadata_;
};

// The tensors of a Hugging Face folder (model.safetensors, or the shards that
// model.safetensors.index.json lists) or of one .safetensors file, under one set of names.
// Reading is safe from several threads.
class TensorFolder {
 public:
  // Throws as SafetensorsFile does, and Corruption when index and shards contradict each other.
  explicit TensorFolder(const std::string& path);

  const std::string& path() const { return path_; }
  // Null when there is none.
  const TensorInfo* find(std::string_view name) const;
  // Throws InvalidArgument naming the folder and the tensor when there is none.
  const TensorInfo& at(std::string_view name) const;
  // In order of file and bytes.
  std::vector<std::string> names() const;
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // Bytes of all tensors together.
  std::uint64_t total_bytes() const;

  // Raw bytes of elements [first_element, first_element + count). Throws InvalidArgument when there
  // is no such tensor or range.
  void read(std::string_view name, std::int64_t first_element, std::int64_t count,
            void* destination) const;
  // The same elements as f32, converted from f64, f32, bf16 or f16; other types throw Unsupported.
  // Uses 64 KiB of memory whatever the count.
  void read_f32(std::string_view name, std::int64_t first_element, std::int64_t count,
                float* destination) const;

 private:
  void add_file(const std::string& path);
  void add_shards(const std::string& index_path);

  std::string path_;
  std::vector<SafetensorsFile> files_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, std::size_t> index_;  // views into tensors_
};

}  // namespace outsize

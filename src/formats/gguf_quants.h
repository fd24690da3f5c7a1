// The element and block formats of GGUF tensors: sizes of all of them, f32 values of those below
// with a decoder, and Q8_0 encoding. A block is a run of consecutive elements of one row with its
// scales.
#pragma once

#include <cstdint>

namespace outsize {

// Numbers as in the file.
enum class GgmlType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  f64 = 28,
  bf16 = 30,
};

struct GgmlTypeInfo {
  std::uint32_t id;
  const char* name;
  std::int64_t block_elements;
  std::int64_t block_bytes;
};

// Null for a number this table does not know.
const GgmlTypeInfo* find_ggml_type(std::uint32_t id);
const GgmlTypeInfo& info_of(GgmlType type);

// Whether dequantise() takes the type.
bool can_dequantise(std::uint32_t id);
// f32 values of `blocks` consecutive blocks (any alignment). Same operations in the same order as
// the reference decoders, so the same bits. Throws Unsupported when can_dequantise(id) is false.
void dequantise(std::uint32_t id, const void* source, std::int64_t blocks, float* destination);

// Encodes `blocks` runs of 32 values as Q8_0 (34 bytes each): scale amax/127 kept as f16, values
// rounded half away from zero. False when a value is not finite or the scale overflows f16.
bool quantise_q8_0(const float* source, std::int64_t blocks, void* destination);

}  // namespace outsize

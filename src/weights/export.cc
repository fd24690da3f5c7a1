#include "weights/export.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/half.h"
#include "formats/gguf_writer.h"
#include "formats/safetensors_writer.h"

namespace outsize {
namespace {

// One tensor of the written file and the parameters it is made of, in row order.
struct Target {
  std::string name;
  bool transposed = false;
  std::int64_t rows = 0, columns = 0;  // of the [out,in] view
  bool is_vector = false;
  std::vector<std::pair<WeightSource, Shape>> parts;

  Shape shape() const {
    if (is_vector) return {rows};
    return transposed ? Shape{columns, rows} : Shape{rows, columns};
  }
};

std::vector<Target> targets_of(const Model& model, bool gguf) {
  std::map<std::string, Shape> shapes;
  for (const ProgramParameter& parameter : parameters_of(model, DType::f32))
    shapes[parameter.name] = parameter.type.shape;
  std::vector<Target> targets;
  for (const WeightSource& source : model.weights()) {
    const auto shape = shapes.find(source.parameter);
    ensure(shape != shapes.end(), "[export] weight '{}' is no parameter", source.parameter);
    const std::string& name = gguf ? source.gguf_name : source.hf_name;
    if (targets.empty() || targets.back().name != name)
      targets.push_back({.name = name, .transposed = !gguf && source.hf_transposed});
    Target& target = targets.back();
    target.rows += row_count(shape->second);
    target.columns = column_count(shape->second);
    target.is_vector = shape->second.ndim() < 2;
    target.parts.emplace_back(source, shape->second);
  }
  return targets;
}

// Calls take(values, count) with the rows of all parts, in order, as f32.
template <class F>
void stream_rows(const Target& target, const WeightReader& reader, F take) {
  std::vector<float> buffer;
  for (const auto& [source, shape] : target.parts) {
    const std::int64_t step = transfer_rows(shape), rows = row_count(shape);
    for (std::int64_t first = 0; first < rows; first += step) {
      const std::int64_t count = std::min(step, rows - first);
      buffer.resize(static_cast<size_t>(count * column_count(shape)));
      reader.read(source, shape, first, count, buffer.data());
      take(buffer.data(), count * column_count(shape));
    }
  }
}

void append(SafetensorsWriter& writer, DType dtype, const float* values, std::int64_t count) {
  if (dtype == DType::f32) return writer.append(values, static_cast<size_t>(count) * 4);
  std::vector<std::uint16_t> narrow(static_cast<size_t>(count));
  for (std::int64_t i = 0; i < count; ++i)
    narrow[static_cast<size_t>(i)] =
        dtype == DType::bf16 ? to_bf16(values[i]).bits : to_f16(values[i]).bits;
  writer.append(narrow.data(), narrow.size() * 2);
}

// In panels of columns that fit a transfer buffer: all rows pass once for each.
void write_transposed(const Target& target, const WeightReader& reader, DType dtype,
                      SafetensorsWriter& writer) {
  const std::int64_t width = std::max<std::int64_t>(1, kTransferElements / target.rows);
  std::vector<float> panel;
  for (std::int64_t first = 0; first < target.columns; first += width) {
    const std::int64_t columns = std::min(width, target.columns - first);
    panel.resize(static_cast<size_t>(columns * target.rows));
    std::int64_t row = 0;
    stream_rows(target, reader, [&](const float* values, std::int64_t count) {
      for (std::int64_t at = 0; at < count; at += target.columns, ++row)
        for (std::int64_t c = 0; c < columns; ++c)
          panel[static_cast<size_t>(c * target.rows + row)] = values[at + first + c];
    });
    append(writer, dtype, panel.data(), columns * target.rows);
  }
}

GgmlType parse_type(const std::string& type) {
  if (type == "f32") return GgmlType::f32;
  if (type == "f16") return GgmlType::f16;
  if (type == "bf16") return GgmlType::bf16;
  if (type == "q8_0") return GgmlType::q8_0;
  fail(ErrorKind::InvalidArgument,
       "[export] unknown dtype; got '{}'; expected f32, f16, bf16 or q8_0", type);
}

// general.file_type, as llama.cpp numbers them.
std::uint32_t file_type(GgmlType type) {
  switch (type) {
    case GgmlType::f16:
      return 1;
    case GgmlType::q8_0:
      return 7;
    case GgmlType::bf16:
      return 32;
    default:
      return 0;
  }
}

GgmlType tensor_type(const Target& target, GgmlType wanted) {
  if (target.is_vector) return GgmlType::f32;
  if (wanted == GgmlType::q8_0 && target.columns % 32 != 0) return GgmlType::f32;
  return wanted;
}

// Rows change places within their head.
void write_interleaved(const Target& target, const WeightReader& reader, GgufWriter& writer) {
  const auto& [source, shape] = target.parts.front();
  const std::int64_t head = target.rows / source.gguf_interleaved_heads;
  std::vector<float> rows(static_cast<size_t>(head * target.columns)), placed(rows.size());
  for (std::int64_t first = 0; first < target.rows; first += head) {
    reader.read(source, shape, first, head, rows.data());
    for (std::int64_t row = 0; row < head; ++row)
      std::copy_n(rows.data() + row * target.columns, target.columns,
                  placed.data() + interleaved_row(row, head) * target.columns);
    writer.append_f32(placed.data(), head * target.columns);
  }
}

void write_gguf_tensor(const Target& target, const WeightReader& reader, GgufWriter& writer) {
  const WeightSource& source = target.parts.front().first;
  if (source.gguf_interleaved_heads > 0) return write_interleaved(target, reader, writer);
  std::vector<float> shifted;
  stream_rows(target, reader, [&](const float* values, std::int64_t count) {
    shifted.assign(values, values + count);
    for (float& value : shifted) value += static_cast<float>(source.gguf_offset);
    writer.append_f32(shifted.data(), count);
  });
}

}  // namespace

std::vector<ProgramParameter> parameters_of(const Model& model, DType dtype) {
  return model
      .program(
          {.mode = BuildOptions::Mode::evaluation, .tokens = 1, .row_length = 1, .dtype = dtype})
      .parameters;
}

void write_hf_weights(const Model& model, const WeightReader& reader, DType dtype,
                      const std::string& folder) {
  if (dtype != DType::f32 && dtype != DType::bf16 && dtype != DType::f16)
    fail(ErrorKind::InvalidArgument, "[export] got dtype '{}'; expected f32, bf16 or f16",
         name_of(dtype));
  const std::vector<Target> targets = targets_of(model, /*gguf=*/false);
  std::vector<TensorSpec> specs;
  for (const Target& target : targets) specs.push_back({target.name, dtype, target.shape()});
  SafetensorsWriter writer(folder + "/model.safetensors", specs);
  for (const Target& target : targets) {
    if (target.transposed)
      write_transposed(target, reader, dtype, writer);
    else
      stream_rows(target, reader, [&](const float* values, std::int64_t count) {
        append(writer, dtype, values, count);
      });
  }
  writer.finish();
}

void write_gguf(const Model& model, const WeightReader& reader, const std::string& type,
                const GgufMetadata& tokenizer, const std::string& path) {
  const GgmlType wanted = parse_type(type);
  const std::vector<Target> targets = targets_of(model, /*gguf=*/true);
  GgufMetadata metadata = model.gguf_metadata();
  metadata.emplace_back("general.name", GgufValue::of_text(model.info().family));
  metadata.emplace_back("general.file_type", GgufValue::of_u32(file_type(wanted)));
  if (wanted == GgmlType::q8_0)
    metadata.emplace_back("general.quantization_version", GgufValue::of_u32(2));
  metadata.insert(metadata.end(), tokenizer.begin(), tokenizer.end());
  std::vector<GgufTensorSpec> specs;
  for (const Target& target : targets)
    specs.push_back({target.name, tensor_type(target, wanted), target.shape()});
  const auto extras = model.gguf_extra_tensors();
  for (const GgufExtraTensor& extra : extras)
    specs.push_back({extra.name, GgmlType::f32, {static_cast<std::int64_t>(extra.values.size())}});
  GgufWriter writer(path, metadata, specs);
  for (const Target& target : targets) write_gguf_tensor(target, reader, writer);
  for (const GgufExtraTensor& extra : extras)
    writer.append_f32(extra.values.data(), static_cast<std::int64_t>(extra.values.size()));
  writer.finish();
}

}  // namespace outsize

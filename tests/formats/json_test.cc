#include "formats/json.h"

#include <nlohmann/json.hpp>

#include "testing.h"

namespace outsize {
namespace {

using testing_formats::expect_error;
using testing_formats::fuzz;
using testing_formats::Scratch;

// A config of the kind the model importers read.
constexpr const char* kConfig = R"({
  "architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "hidden_size": 640,
  "head_dim": 256, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0, "tie_word_embeddings": true,
  "eos_token_id": [1, 106], "sliding_window": null, "rope_scaling": {"rope_type": "llama3",
  "factor": 8.0, "original_max_position_embeddings": 8192}, "layer_types": ["sliding_attention",
  "full_attention"], "note": "caf\u00e9 \ud83d\ude00", "vocab_size": 262144
})";

TEST(Json, ParsesAValueOfEveryKind) {
  const nlohmann::json value = parse_json(
      R"({"a":[1,-2,3.5,true,false,null,"x\n"],"b":{"c":{}},"d":[],"e":18446744073709551615})",
      "t");
  EXPECT_EQ(
      value.dump(),
      R"({"a":[1,-2,3.5,true,false,null,"x\n"],"b":{"c":{}},"d":[],"e":18446744073709551615})");
  EXPECT_EQ(parse_json(" 7 ", "t"), 7);
  EXPECT_EQ(parse_json(kConfig, "t"), nlohmann::json::parse(kConfig));
}

TEST(Json, SyntaxErrorsNameFileAndLine) {
  expect_error(ErrorKind::Corruption, "config.json: line 3, byte",
               [] { parse_json("{\"a\": 1,\n\n  oops}", "config.json"); });
  for (const char* text : {"", "{", "[1,]", "{\"a\"}", "1 2", "nul", "\"\xff\"", "\"\\ud800\"",
                           "1e999", "NaN", "{'a': 1}", "\"tab\tinside\"", "[1]]", "-", "\"open"})
    expect_error(ErrorKind::Corruption, "t: line 1", [&] { parse_json(text, "t"); });
}

TEST(Json, MessagesStayShortWhateverTheFileHolds) {
  const std::string huge = "[\"" + std::string(1 << 20, 'x') + "\xff\"]";
  const auto thrown = testing_formats::thrown_by([&] { parse_json(huge, "t"); });
  EXPECT_LT(thrown.message.size(), 300u);
}

TEST(Json, DepthIsLimitedAndDeepTextDoesNotOverflowTheStack) {
  JsonLimits limits;
  limits.max_depth = 3;
  EXPECT_NO_THROW(parse_json("[[{}]]", "t", limits));
  expect_error(ErrorKind::Corruption, "nested too deeply",
               [&] { parse_json("[[[[]]]]", "t", limits); });
  const std::string deep(10'000'000, '[');
  expect_error(ErrorKind::Corruption, "nested too deeply", [&] { parse_json(deep, "t"); });
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  expect_error(ErrorKind::Corruption, "nested too deeply", [&] { parse_json(objects, "t"); });
}

TEST(Json, SizeIsLimited) {
  JsonLimits limits;
  limits.max_bytes = 4;
  EXPECT_NO_THROW(parse_json("1234", "t", limits));
  expect_error(ErrorKind::InvalidArgument, "too large", [&] { parse_json("12345", "t", limits); });
  const Scratch scratch;
  const std::string path = scratch.put("big.json", "12345");
  expect_error(ErrorKind::InvalidArgument, "big.json", [&] { read_json(path, limits); });
  EXPECT_EQ(read_json(path), 12345);
  expect_error(ErrorKind::Io, "absent.json", [&] { read_json(scratch.at("absent.json")); });
}

TEST(Json, RepeatedKeysAreRefusedOnRequest) {
  EXPECT_EQ(parse_json(R"({"a":1,"a":[2]})", "t")["a"][0], 2);
  JsonLimits limits;
  limits.allow_duplicate_keys = false;
  expect_error(ErrorKind::Corruption, "key 'a' appears twice",
               [&] { parse_json(R"({"a":1,"a":2})", "t", limits); });
  EXPECT_NO_THROW(parse_json(R"([{"a":1},{"a":2}])", "t", limits));
}

TEST(JsonFields, GivesTypedValues) {
  const nlohmann::json config = parse_json(kConfig, "config.json");
  const JsonFields fields(config, "config.json");
  EXPECT_EQ(fields.integer("hidden_size", 1), 640);
  EXPECT_EQ(fields.integer("rope_theta"), 1000000);
  EXPECT_EQ(fields.number("vocab_size"), 262144.0);
  EXPECT_EQ(fields.number("rms_norm_eps"), 1e-6);
  EXPECT_TRUE(fields.boolean("tie_word_embeddings"));
  EXPECT_EQ(fields.text("model_type"), "gemma3_text");
  EXPECT_EQ(fields.text("note"), "café 😀");
  EXPECT_FALSE(fields.has("sliding_window"));
  EXPECT_EQ(fields.integer_or("sliding_window", 512), 512);
  EXPECT_EQ(fields.number_or("none", 0.5), 0.5);
  EXPECT_TRUE(fields.boolean_or("none", true));
  EXPECT_EQ(fields.text_or("none", "d"), "d");
  EXPECT_EQ(fields.integers("eos_token_id"), (std::vector<std::int64_t>{1, 106}));
  EXPECT_EQ(fields.integers("head_dim"), std::vector<std::int64_t>{256});
  EXPECT_TRUE(fields.integers("none").empty());
  EXPECT_EQ(fields.texts("layer_types").at(1), "full_attention");
  EXPECT_EQ(fields.object("rope_scaling").number("factor"), 8.0);
  EXPECT_FALSE(fields.object_or_none("none").has_value());
}

TEST(JsonFields, FaultsNameFileAndField) {
  const nlohmann::json config = parse_json(kConfig, "config.json");
  const JsonFields fields(config, "config.json");
  const ErrorKind kind = ErrorKind::InvalidArgument;
  expect_error(kind, "config.json: field 'num_layers' is missing",
               [&] { fields.integer("num_layers"); });
  expect_error(kind, "field 'sliding_window' is missing",
               [&] { fields.integer("sliding_window"); });
  expect_error(kind, "field 'rms_norm_eps' has the wrong type",
               [&] { fields.integer("rms_norm_eps"); });
  expect_error(kind, "field 'hidden_size' is out of range; got 640",
               [&] { fields.integer("hidden_size", 1, 512); });
  expect_error(kind, "got string \"gemma3_text\"", [&] { fields.integer_or("model_type", 1); });
  expect_error(kind, "field 'model_type' has", [&] { fields.number("model_type"); });
  expect_error(kind, "field 'head_dim' has", [&] { fields.boolean("head_dim"); });
  expect_error(kind, "field 'head_dim' has", [&] { fields.text("head_dim"); });
  expect_error(kind, "field 'layer_types' holds", [&] { fields.integers("layer_types"); });
  expect_error(kind, "field 'eos_token_id' holds", [&] { fields.texts("eos_token_id"); });
  expect_error(kind, "field 'rope_scaling.beta' is missing",
               [&] { fields.object("rope_scaling").number("beta"); });
  expect_error(kind, "'head_dim.' is not an object", [&] { fields.object("head_dim"); });
  const nlohmann::json list = nlohmann::json::array();
  expect_error(kind, "x.json: the file is not an object", [&] { JsonFields(list, "x.json"); });
}

TEST(JsonFields, WholeNumbersOutsideTheirTypeAreRefused) {
  const nlohmann::json value = parse_json(R"({"a":18446744073709551615,"b":1e300,"c":0.5})", "t");
  const JsonFields fields(value, "t");
  for (const char* name : {"a", "b", "c"})
    expect_error(ErrorKind::InvalidArgument, "wrong type", [&] { fields.integer(name); });
}

TEST(JsonFuzz, OnlyTypedErrorsComeOut) {
  fuzz(kConfig, 1'000'000, 12'000, [](const std::string& text) {
    const nlohmann::json value = parse_json(text, "config.json");
    const JsonFields fields(value, "config.json");
    fields.integer("hidden_size", 1, 1 << 20);
    fields.integers("eos_token_id");
    fields.texts("layer_types");
    fields.number("rope_theta");
    fields.boolean("tie_word_embeddings");
    if (const auto scaling = fields.object_or_none("rope_scaling")) scaling->number("factor");
    EXPECT_FALSE(value.dump().empty());
  });
}

}  // namespace
}  // namespace outsize

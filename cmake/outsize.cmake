# Shared build rules: one static library per part (outsize_part), vector sources compiled once per
# instruction set (outsize_isa_sources), and one test program per part (outsize_test).

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
endif()

find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(PkgConfig REQUIRED)

add_library(outsize_flags INTERFACE)
target_include_directories(outsize_flags INTERFACE ${PROJECT_SOURCE_DIR}/src)
target_compile_options(outsize_flags INTERFACE -Wall -Wextra -Wno-psabi
                       -Wno-missing-field-initializers)
if(OUTSIZE_WERROR)
  target_compile_options(outsize_flags INTERFACE -Werror)
endif()
if(OUTSIZE_SANITIZE STREQUAL "address")
  # GCC 12 takes parts of its own std::regex for uninitialised when they are instrumented.
  target_compile_options(outsize_flags INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=all -Wno-maybe-uninitialized)
  target_link_options(outsize_flags INTERFACE -fsanitize=address,undefined)
elseif(OUTSIZE_SANITIZE STREQUAL "thread")
  target_compile_options(outsize_flags INTERFACE -fsanitize=thread)
  target_link_options(outsize_flags INTERFACE -fsanitize=thread)
endif()
if(OUTSIZE_PARALLEL STREQUAL "openmp")
  find_package(OpenMP REQUIRED)
endif()

# outsize_part(NAME DEPENDS a b LIBRARIES x y FOLDERS f AMX s): library outsize_NAME from every .cc
# file of the current folder and of the FOLDERS below it; vector sources (*_simd.cc) are compiled
# once per instruction set, those under AMX for that as well, and *_amx.cc for that alone. DEPENDS
# names the parts it may include: the direction of dependencies is the link graph.
function(outsize_part name)
  cmake_parse_arguments(PART "" "" "DEPENDS;LIBRARIES;FOLDERS;AMX" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(folder ${PART_FOLDERS})
    file(GLOB more CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${folder}/*.cc)
    list(APPEND sources ${more})
  endforeach()
  set(vector_sources ${sources})
  list(FILTER vector_sources INCLUDE REGEX "_simd\\.cc$")
  set(amx_sources ${sources})
  list(FILTER amx_sources INCLUDE REGEX "_amx\\.cc$")
  list(APPEND PART_AMX ${amx_sources})
  list(FILTER sources EXCLUDE REGEX "_(simd|amx)\\.cc$")
  add_library(outsize_${name} STATIC ${sources})
  target_link_libraries(outsize_${name} PUBLIC outsize_flags fmt::fmt ${PART_LIBRARIES})
  foreach(part ${PART_DEPENDS})
    target_link_libraries(outsize_${name} PUBLIC outsize_${part})
  endforeach()
  if(vector_sources)
    foreach(isa baseline avx2 avx512)
      outsize_isa_sources(outsize_${name} ${isa} ${vector_sources})
    endforeach()
  endif()
  if(PART_AMX)
    outsize_isa_sources(outsize_${name} amx ${PART_AMX})
  endif()
endfunction()

# Compiles the sources for one instruction set into namespace OUTSIZE_ISA: isa_baseline, isa_avx2,
# isa_avx512 or isa_amx, which is avx512 and more. Such sources may include only core/simd.h, what
# builds on it, and their own plain header: a std template instantiated with AVX-512 flags could
# otherwise be the copy the linker keeps for everyone.
function(outsize_isa_sources target isa)
  set(flags_baseline "")
  set(flags_avx2 -march=x86-64-v3)
  set(flags_avx512 -march=x86-64-v4 -mavx512bf16 -mavx512vnni -mprefer-vector-width=512)
  set(flags_amx ${flags_avx512} -mamx-tile -mamx-bf16 -mprfchw)
  set(includes_amx OUTSIZE_ISA_avx512=1)
  add_library(${target}_${isa} OBJECT ${ARGN})
  target_link_libraries(${target}_${isa} PRIVATE outsize_flags)
  target_compile_options(${target}_${isa} PRIVATE -O3 -ffp-contract=fast ${flags_${isa}})
  target_compile_definitions(${target}_${isa} PRIVATE OUTSIZE_ISA=isa_${isa} OUTSIZE_ISA_${isa}=1
                             ${includes_${isa}})
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${target}_${isa}>)
endfunction()

# outsize_test(NAME DEPENDS parts): test program test_NAME from every .cc file of the current
# folder, each test registered with CTest.
function(outsize_test name)
  cmake_parse_arguments(PART "" "TIMEOUT" "DEPENDS;LIBRARIES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(NOT sources)
    message(WARNING "tests/${name} has no sources")
    return()
  endif()
  add_executable(test_${name} ${sources})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_compile_definitions(test_${name} PRIVATE OUTSIZE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  target_link_libraries(test_${name} PRIVATE GTest::gmock GTest::gtest_main ${PART_LIBRARIES})
  foreach(part ${PART_DEPENDS})
    target_link_libraries(test_${name} PRIVATE outsize_${part})
  endforeach()
  if(NOT PART_TIMEOUT)
    set(PART_TIMEOUT 600)
  endif()
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${PART_TIMEOUT})
endfunction()

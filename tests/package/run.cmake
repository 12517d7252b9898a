# run(COMMAND...): ends the test with the command's output when it fails.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
  if(NOT code EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}\nended with ${code}:\n${out}\n${err}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --component plugin-sdk --prefix ${WORK}/prefix)
# The package must work wherever it is put.
file(RENAME ${WORK}/prefix ${WORK}/moved)

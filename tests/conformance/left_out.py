"""Which of graphql-core's tests are not run with our executor, and why; all others are."""

from __future__ import annotations

from typing import Final

_PARTS: Final = "it tests a part of graphql-core by itself, and executes nothing"
_EXTENSION: Final = "it tests an extension point of graphql-core that ours has not"
_INCREMENTAL: Final = "@defer and @stream are graphql-core's: ours compiles nothing of them"
_SYNCHRONOUS: Final = "it tests that nothing is awaited: ours awaits always"
_INVALID: Final = "its document is not valid: ours is given validated documents"
_CHOICE: Final = "which operation is meant has been decided before ours is asked"
_INFO: Final = "it tests what graphql-core tells resolvers: fields of ours are batches and are told other things"
_SIBLINGS: Final = "it tests when siblings of a failed field stop: ours come to their end, so that reads are kept"

_ROOT: Final = "a chain too deep for the recursion limit is refused before: see gateway/execution/limits.py"
_TYPES: Final = "types of ours have no is_type_of: documents say what they are"

_LISTS: Final = "test_lists.py::describe_execute_handles_abrupt_completion_in_synchronous_iterables"
_ABSTRACT: Final = "test_abstract.py::describe_execute_handles_synchronous_execution_of_abstract_types"
_TASKS: Final = "test_executor.py::describe_execute_handles_basic_execution_tasks"
_MUTATIONS: Final = "test_mutations.py::describe_execute_handles_mutation_execution_ordering"
_SYNC: Final = "test_sync.py::describe_execute_synchronously_when_possible"
_DEEP: Final = "test_too_deeply_nested_selections.py::describe_too_deeply_nested_selections_at_the_root"
_UNIONS: Final = "test_union_interface.py::describe_execute_union_and_intersection_types"
_INPUTS: Final = "test_variables.py::describe_execute_handles_inputs"

# By file, then by its blocks, down to single tests. An entry that names none is an error.
LEFT_OUT: Final[dict[str, str]] = {
    "test_aborted_graphql_execution_error.py": _EXTENSION,
    "test_cancellation.py": _EXTENSION,
    "test_collect_fields.py": _PARTS,
    "test_customize.py": _EXTENSION,
    "test_execution_result.py": _PARTS,
    "test_executor_throwing_on_incremental.py": _INCREMENTAL,
    "test_hooks.py": _EXTENSION,
    "test_map_async_iterable.py": _PARTS,
    "test_middleware.py": _EXTENSION,
    "test_subscribe.py": "a stream of ours answers with the event itself, which graphql-core's hands to resolvers",
    f"{_ABSTRACT}::resolve_type_on_interface_yields_useful_error": "messages show the value: ours is a document of it",
    f"{_TASKS}::executes_the_root_selection_set_of_a_built_executor": _PARTS,
    f"{_TASKS}::provides_info_about_current_execution_state": _INFO,
    f"{_TASKS}::it_populates_path_correctly_with_complex_types": _INFO,
    f"{_TASKS}::handles_sync_errors_combined_with_async_ones": _SIBLINGS,
    f"{_TASKS}::provides_error_if_no_operation_is_provided": _CHOICE,
    f"{_TASKS}::errors_if_": _CHOICE,
    f"{_TASKS}::resolves_to_an_error_if_schema_does_not_support_operation": _CHOICE,
    f"{_TASKS}::uses_the_subscription_schema_for_subscriptions": "ours executes subscriptions an event at a time",
    f"{_TASKS}::errors_when_using_original_execute_with_schemas_including_experimental_": _INCREMENTAL,
    f"{_TASKS}::does_not_include_illegal_fields_in_output": _INVALID,
    f"{_TASKS}::fails_when_is_type_of_check_is_not_met": _TYPES,
    f"{_TASKS}::memoizes_collect_subfields_results": _PARTS,
    f"{_TASKS}::retains_memoization_keys_until_execution_finishes": _PARTS,
    "test_executor.py::describe_base_executor_without_incremental_delivery": _PARTS,
    f"{_LISTS}::handles_iterator_errors": _SIBLINGS,
    "test_lists.py::describe_execute_accepts_async_iterables_as_list_value::can_customize_detection": _EXTENSION,
    f"{_MUTATIONS}::does_not_include_illegal_mutation_fields_in_output": _INVALID,
    f"{_MUTATIONS}::mutation_fields_with_defer_do_not_block_next_mutation": _INCREMENTAL,
    f"{_MUTATIONS}::mutation_with_defer_is_not_executed_serially": _INCREMENTAL,
    "test_nonnull.py::describe_execute_handles_non_nullable_types::"
    "describe_handles_multiple_errors_for_a_single_response_position::slower_nullable_after": _SIBLINGS,
    "test_parallel.py::describe_parallel_execution::describe_cancel_on_exception::cancel_selection_sets": _SIBLINGS,
    "test_parallel.py::describe_parallel_execution::describe_cancel_on_exception::cancel_type_resolver": _INVALID,
    "test_schema.py::describe_execute_handles_execution_with_a_complex_schema::executes_using_a_schema": _INVALID,
    f"{_SYNC}::does_not_return_an_awaitable_for_initial_errors": _CHOICE,
    f"{_SYNC}::describe_execute_sync::does_not_throw_if_not_encountering_async": _SYNCHRONOUS,
    f"{_SYNC}::describe_execute_sync::throws_if_encountering_": _SYNCHRONOUS,
    f"{_SYNC}::describe_execute_sync::iterates_sync_and_async_iterables_synchronously": _SYNCHRONOUS,
    f"{_SYNC}::describe_execute_sync::reports_async_iterables_as_errors": _SYNCHRONOUS,
    f"{_SYNC}::describe_graphql_sync::reports_errors_raised_during_schema_validation": _PARTS,
    f"{_SYNC}::describe_graphql_sync::does_not_return_an_awaitable_for_syntax_errors": _PARTS,
    f"{_SYNC}::describe_graphql_sync::does_not_return_an_awaitable_for_validation_errors": _PARTS,
    f"{_SYNC}::describe_graphql_sync::throws_if_encountering_": _SYNCHRONOUS,
    f"{_DEEP}::execute_sync_returns_a_result_with_the_error": _ROOT,
    f"{_DEEP}::execute_returns_a_result_with_the_error": _ROOT,
    f"{_DEEP}::experimental_execute_incrementally_returns_a_result_with_the_error": _INCREMENTAL,
    f"{_DEEP}::subscribe_returns_a_result_with_the_error": _PARTS,
    f"{_DEEP}::create_source_event_stream_returns_a_result_with_the_error": _PARTS,
    f"{_DEEP}::does_not_keep_the_frames_of_the_recursion_alive": _PARTS,
    f"{_UNIONS}::executes_using_union_types": _INVALID,
    f"{_UNIONS}::executes_using_interface_types": _INVALID,
    f"{_INPUTS}::describe_get_variable_values_": _PARTS,
    **{
        f"test_variables.py::describe_too_deeply_nested_variable_values::{name}": _PARTS
        for name in (
            "get_variable_values_returns_an_error",
            "get_variable_values_keeps_previous_errors",
            "accepts_values_up_to_the_maximum_nesting_depth",
            "rejects_values_above_the_maximum_nesting_depth",
            "checks_list_values_and_single_values_of_list_types",
            "ignores_values_that_are_no_objects_for_input_object_types",
            "accepts_deep_values_of_custom_scalars",
            "does_not_keep_the_frames_of_the_recursion_alive",
        )
    },
}

# Tests that run in a loop, and want what has nothing to wait for without waiting.
AT_ONCE: Final[tuple[str, ...]] = (
    _LISTS,
    "test_lists.py::describe_execute_handles_list_nullability",
    f"{_UNIONS}::handles_",
)

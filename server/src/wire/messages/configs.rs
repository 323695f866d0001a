//! `DescribeConfigs`, `AlterConfigs` and `IncrementalAlterConfigs`.
//!
//! `AlterConfigs` and `IncrementalAlterConfigs` have parts of the same names in Kafka: the latter's begin with `Incremental` here.

use crate::wire::codes::ErrorCode;
use crate::wire::table::messages;

messages! {
    /// Asks for the configs of topics, brokers and the like.
    message DescribeConfigsRequest (0..=4, flexible 4) {
        resources: Vec<DescribeConfigsResource> [0..],
        include_synonyms: bool [1..],
        include_documentation: bool [3..],
    }

    /// One resource. `resource_type`: 2 topic, 4 broker, 8 broker logger; keys null is all of them.
    struct DescribeConfigsResource {
        resource_type: i8 [0..],
        resource_name: String [0..],
        configuration_keys: Option<Vec<String>> [0..; null 0..] = Some(Vec::new()),
    }

    /// Configs by resource.
    message DescribeConfigsResponse (0..=4, flexible 4) {
        throttle_time_ms: i32 [0..],
        results: Vec<DescribeConfigsResult> [0..],
    }

    /// The configs of one resource.
    struct DescribeConfigsResult {
        error_code: ErrorCode [0..],
        error_message: Option<String> [0..; null 0..] = Some(String::new()),
        resource_type: i8 [0..],
        resource_name: String [0..],
        configs: Vec<DescribeConfigsResourceResult> [0..],
    }

    /// One config, where its value comes from and of which type it is.
    struct DescribeConfigsResourceResult {
        name: String [0..],
        value: Option<String> [0..; null 0..] = Some(String::new()),
        read_only: bool [0..],
        config_source: i8 [1..] = -1,
        is_default: bool [0..=0],
        is_sensitive: bool [0..],
        synonyms: Vec<DescribeConfigsSynonym> [1..],
        config_type: i8 [3..],
        documentation: Option<String> [3..; null 3..] = Some(String::new()),
    }

    /// A place the value could come from, in falling order of priority.
    struct DescribeConfigsSynonym {
        name: String [1..],
        value: Option<String> [1..; null 1..] = Some(String::new()),
        source: i8 [1..],
    }

    /// Replaces all overrides of each resource.
    message AlterConfigsRequest (0..=2, flexible 2) {
        resources: Vec<AlterConfigsResource> [0..],
        validate_only: bool [0..],
    }

    /// One resource and all its overrides.
    struct AlterConfigsResource {
        resource_type: i8 [0..],
        resource_name: String [0..],
        configs: Vec<AlterableConfig> [0..],
    }

    /// One override.
    struct AlterableConfig {
        name: String [0..],
        value: Option<String> [0..; null 0..] = Some(String::new()),
    }

    /// How each resource went.
    message AlterConfigsResponse (0..=2, flexible 2) {
        throttle_time_ms: i32 [0..],
        responses: Vec<AlterConfigsResourceResponse> [0..],
    }

    /// How one resource went.
    struct AlterConfigsResourceResponse {
        error_code: ErrorCode [0..],
        error_message: Option<String> [0..; null 0..] = Some(String::new()),
        resource_type: i8 [0..],
        resource_name: String [0..],
    }

    /// Changes single overrides of each resource (KIP-339).
    message IncrementalAlterConfigsRequest (0..=1, flexible 1) {
        resources: Vec<IncrementalAlterConfigsResource> [0..],
        validate_only: bool [0..],
    }

    /// One resource and the changes to it. In Kafka `AlterConfigsResource`; prefixed, as `AlterConfigs` has one too.
    struct IncrementalAlterConfigsResource {
        resource_type: i8 [0..],
        resource_name: String [0..],
        configs: Vec<IncrementalAlterableConfig> [0..],
    }

    /// One change. `config_operation`: 0 set, 1 delete, 2 append, 3 subtract. In Kafka `AlterableConfig`; prefixed, as
    /// `AlterConfigs` has one too.
    struct IncrementalAlterableConfig {
        name: String [0..],
        config_operation: i8 [0..],
        value: Option<String> [0..; null 0..] = Some(String::new()),
    }

    /// How each resource went.
    message IncrementalAlterConfigsResponse (0..=1, flexible 1) {
        throttle_time_ms: i32 [0..],
        responses: Vec<IncrementalAlterConfigsResourceResponse> [0..],
    }

    /// How one resource went. In Kafka `AlterConfigsResourceResponse`; prefixed, as `AlterConfigs` has one too.
    struct IncrementalAlterConfigsResourceResponse {
        error_code: ErrorCode [0..],
        error_message: Option<String> [0..; null 0..] = Some(String::new()),
        resource_type: i8 [0..],
        resource_name: String [0..],
    }
}

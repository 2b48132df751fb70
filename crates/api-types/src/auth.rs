//! Registry credentials.

use std::collections::BTreeMap;

use crate::body::{body, lower_body, omit};

lower_body! {
    /// Credentials of one registry: `X-Registry-Auth`, and the body of `POST /auth`.
    pub struct AuthConfig {
        /// User name.
        #[serde(skip_serializing_if = "omit")]
        pub username: String,
        /// Password.
        #[serde(skip_serializing_if = "omit")]
        pub password: String,
        /// base64 of `user:password`; only in the client's file.
        #[serde(skip_serializing_if = "omit")]
        pub auth: String,
        /// Email; ignored.
        #[serde(skip_serializing_if = "omit")]
        pub email: String,
        /// Registry.
        #[serde(skip_serializing_if = "omit")]
        pub serveraddress: String,
        /// Refresh token instead of a password.
        #[serde(skip_serializing_if = "omit")]
        pub identitytoken: String,
        /// Bearer token to send as it is.
        #[serde(skip_serializing_if = "omit")]
        pub registrytoken: String,
    }
}

/// Credentials by registry: `X-Registry-Config` of a build.
pub type AuthConfigs = BTreeMap<String, AuthConfig>;

body! {
    /// Answer to `POST /auth`.
    pub struct AuthResponse {
        /// `Login Succeeded`.
        pub status: String,
        /// Token to keep instead of the password.
        #[serde(skip_serializing_if = "omit")]
        pub identity_token: String,
    }
}

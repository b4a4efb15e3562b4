//! [`debug_fields!`](crate::debug_fields): implements `Debug` with some of a type's fields. The others are secret, too large, or
//! have no `Debug` themselves.

/// Implements `Debug` for a type with these fields, which identify the value.
#[macro_export]
macro_rules! debug_fields {
    ($type:ty $(, $($field:tt).+)*) => {
        impl ::std::fmt::Debug for $type {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.debug_struct(stringify!($type))
                    $(.field(stringify!($($field).+), &self.$($field).+))*
                    .finish_non_exhaustive()
            }
        }
    };
}

crate::debug_fields!(crate::secrets::Secrets);

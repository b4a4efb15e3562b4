//! URLs that are safe for git, ssh and a shell, and URLs that are not.

use super::*;

/// git and ssh would read the refused ones as options, programs, other hosts or parts of a shell command.
#[test]
fn an_address_is_plain_in_all_its_parts() {
    for url in [
        "https://github.com/kubernetes-sigs/kubespray.git",
        "https://git.example:8443/a/b?c=d",
        "http://[2001:db8::1]:80/k",
        "ssh://git@git.example:22/kubespray",
        "ssh://first.last@10.0.0.1/~/k",
        "git://git.example/k",
        "git@git.example:team/kubespray",
        "me@corp.example@git.example:k",
        "git@git_1.example:/srv/k",
        "file:///srv/a:b@c/k",
        "/srv/k",
        "~/k",
    ] {
        assert_eq!(repository_without_secret(url), Ok(()), "{url}");
    }
    for url in [
        "git@host;x:k",
        "git@$(x):k",
        "git@a&b:k",
        "git@-oProxyCommand=x:k",
        "-oProxyCommand=x@host:k",
        "git@ho\u{7}st:k",
        "git@host:k\u{202e}",
        "git@host:--upload-pack=x",
        "git@:k",
        "@host:k",
        "g;t@host:k",
        "git@host::k",
        "ssh://-oProxyCommand=x/k",
        "ssh://git@-oProxyCommand=x/k",
        "ssh://-l@host/k",
        "ssh://%2DoProxyCommand=x/k",
        "ssh://a;b@host/k",
        "ssh://host;x/k",
        "ssh://host$(x)/k",
        "ssh://host?x/k",
        "ssh://[host]/k",
        "ssh://[::1/k",
        "ssh://host:x/k",
        "ssh://host:0/k",
        "ssh://host:+22/k",
        "ssh://host:65536/k",
        "git://host%0aGET/k",
        "https:///k",
        "https://:443/k",
        "https://a..b/k",
        "https://10.0.0.256/k",
        "file://host/k",
        "file:///a/../b",
        "ext::sh",
        "a@ext::sh",
        "fd::7/k",
        "ssh:host",
        "git+ssh://host/k",
        "ftp://host/k",
    ] {
        assert!(repository_without_secret(url).is_err(), "{url}");
    }
    let long = format!("https://host/{}", "k".repeat(5000));
    for url in [
        "https://",
        "https://h:x/i.img",
        "http://[::1/i.img",
        "http://h\u{200b}/i",
        &long,
    ] {
        assert!(http(url).is_err() && image_source(url).is_err(), "{url}");
    }
    for url in [
        "http://me:p@ss;w@proxy:3128",
        "https://h",
        "https://[::1]/i.img?sig=a;b",
    ] {
        assert_eq!(http(url), Ok(()), "{url}");
    }
}

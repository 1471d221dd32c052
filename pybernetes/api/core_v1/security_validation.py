"""Validation of security contexts: user ids, profiles, Windows options."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pybernetes.api.core_v1.container import SeccompProfile, SecurityContext, WindowsSecurityContextOptions
from pybernetes.api.core_v1.mount_validation import local_path
from pybernetes.machinery import field, names
from pybernetes.machinery.field import FieldError, Path

MAX_ID = 2**31 - 1


def user_id(value: int | None, path: Path, errors: list[FieldError]) -> None:
    if value is not None and not 0 <= value <= MAX_ID:
        errors.append(field.invalid(path, value, names.range_text(0, MAX_ID)))


def security(context: SecurityContext, path: Path, errors: list[FieldError]) -> None:
    user_id(context.run_as_user, path.child("runAsUser"), errors)
    user_id(context.run_as_group, path.child("runAsGroup"), errors)
    if context.proc_mount is not None and context.proc_mount not in ("Default", "Unmasked"):
        errors.append(field.not_supported(path.child("procMount"), context.proc_mount, ("Default", "Unmasked")))
    if context.windows_options is not None:
        windows(context.windows_options, path.child("windowsOptions"), errors)
    if context.seccomp_profile is not None:
        seccomp(context.seccomp_profile, path.child("seccompProfile"), errors)
    if context.app_armor_profile is not None:
        profile = context.app_armor_profile
        at = path.child("appArmorProfile")
        _profile(profile.type, profile.localhost_profile, "AppArmor", at, errors)
    if context.allow_privilege_escalation is False:
        if context.privileged:
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            errors.append(field.invalid(path, context, text))
        if context.capabilities and {"SYS_ADMIN", "CAP_SYS_ADMIN"} & set(context.capabilities.add or ()):
            text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
            errors.append(field.invalid(path, context, text))


def seccomp(profile: SeccompProfile, path: Path, errors: list[FieldError]) -> None:
    _profile(profile.type, profile.localhost_profile, "seccomp", path, errors)


def _profile(type_: str, local: str | None, what: str, path: Path, errors: list[FieldError]) -> None:
    at = path.child("localhostProfile")
    if type_ == "Localhost":
        if local is None:
            text = f"must be set when {what} type is Localhost"
            errors.append(field.required(at, text))
        elif what == "seccomp":
            local_path(local, at, errors)
        elif not local.strip():
            errors.append(field.required(at, f"must be set when {what} type is Localhost"))
    elif local is not None:
        errors.append(field.invalid(at, local, f"can only be set when {what} type is Localhost"))
    if not type_:
        errors.append(field.required(path.child("type"), "type is required when seccompProfile is set"))
    elif type_ not in ("Localhost", "RuntimeDefault", "Unconfined"):
        supported = ("Localhost", "RuntimeDefault", "Unconfined")
        errors.append(field.not_supported(path.child("type"), type_, supported))


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NET_BIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*")
_BAD_USER = re.compile(r'["/\\:;|=,+*?<>@\[\]]')


def windows(options: WindowsSecurityContextOptions, path: Path, errors: list[FieldError]) -> None:
    """Options of a Windows container; judged whatever the Pod's system is."""
    name, spec = options.gmsa_credential_spec_name, options.gmsa_credential_spec
    if name is not None:
        for text in names.dns1123_subdomain(name):
            errors.append(field.invalid(path.child("gmsaCredentialSpecName"), name, text))
    if spec == "":
        text = "gmsaCredentialSpec cannot be an empty string"
        errors.append(field.invalid(path.child("gmsaCredentialSpec"), spec, text))
    elif spec is not None and len(spec) > 64 * 1024:
        text = "gmsaCredentialSpec size must be under 64 KiB"
        errors.append(field.invalid(path.child("gmsaCredentialSpec"), spec, text))
    user = options.run_as_user_name
    if user is not None:
        for text in _user_name(user):
            errors.append(field.invalid(path.child("runAsUserName"), user, f"runAsUserName{text}"))


def _user_name(text: str) -> Iterator[str]:
    """What is wrong with `DOMAIN\\USER`, as ends of sentences."""
    *domains, user = text.split("\\")
    if not text:
        yield " cannot be an empty string"
    elif _CONTROL.search(text):
        yield " cannot contain control characters"
    elif len(domains) > 1:
        yield " cannot contain more than one backslash"
    else:
        for domain in domains:
            if len(domain) >= 256:
                yield "'s Domain length must be under 256 characters"
            if not _NET_BIOS.fullmatch(domain) and not _DNS.fullmatch(domain):
                yield "'s Domain doesn't match the NetBios nor the DNS format"
        if not user:
            yield "'s User cannot be empty"
        elif len(user) > 104:
            yield "'s User length must not be longer than 104 characters"
        if user and not user.strip(". "):
            yield "'s User cannot contain only periods or spaces"
        if _BAD_USER.search(user):
            yield "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"

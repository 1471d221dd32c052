"""ClusterRole aggregation: a role with an aggregation rule has the rules of all roles its selectors match."""

from __future__ import annotations

from pybernetes.api.rbac_v1 import ClusterRole, PolicyRule
from pybernetes.client.controller import Controller
from pybernetes.machinery import codec, labels


class ClusterRoleAggregationController(Controller):
    """Keys are ClusterRoles."""

    name = "clusterrole-aggregation-controller"

    def setup(self) -> None:
        """Any change of any role may matter to every aggregated one; there are few of those."""
        self.roles = self.informers.informer(ClusterRole)
        self.roles.on(self._role, lambda old, new: self._role(new), self._role)

    def _role(self, changed: ClusterRole) -> None:
        for role in self.roles.list():
            if role.aggregation_rule is not None:
                self.queue.add(role.metadata.name)

    async def reconcile(self, key: str) -> None:
        """Write the union of the matching roles' rules, in the order of their names."""
        role = self.roles.get("", key)
        if role is None or role.aggregation_rule is None:
            return
        selectors = [labels.from_struct(s) for s in role.aggregation_rule.cluster_role_selectors or ()]
        rules: list[PolicyRule] = []
        for other in sorted(self.roles.list(), key=lambda r: r.metadata.name):
            if other is not role and any(selector.matches(other.metadata.labels) for selector in selectors):
                rules += [rule for rule in other.rules or () if rule not in rules]
        if rules == (role.rules or []):
            return
        changed = codec.copy(role)
        changed.rules = rules
        await self.roles.caught_up(await self.client.resource(ClusterRole).update(changed))

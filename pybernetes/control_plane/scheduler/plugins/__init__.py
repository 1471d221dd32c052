"""The scheduler's plugins: which nodes a Pod may have, and which is best. Pure; numpy only."""

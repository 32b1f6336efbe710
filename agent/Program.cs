using OpenSandbox.Agent;

return AgentProgram.Run();
